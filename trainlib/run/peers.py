"""The other processes of a run, through the key-value store of JAX's coordination service, which process 0 runs.

Values are JSON. The collectives of `jax.experimental.multihost_utils` do not serve here: they run on the devices, so
that all processes must make them in one order from one thread, and a waiting one can be neither cancelled nor given a
time limit. The loader threads agree on buckets in their own order. Between two processes on two cores a value takes
1.5 ms through the store and 4 ms through `process_allgather`, whose first call takes 0.6 s.
"""

import contextlib
import itertools
import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

import jax
from jax._src.distributed import global_state  # the client of the key-value store has no public name

from trainlib.core.cli import ERROR
from trainlib.core.errors import UserError

JOIN_S = 300  # seconds that a process waits for the others at the start
DEAD_S = 30  # seconds without a sign of life after which JAX takes a process for dead and ends the others
_ANSWER_S = 3600
_SHUTDOWN_S = 60
_LAST_WORDS_S = 3
_POLL_S = 0.2
_REMEDY = "Its output shows why; then run the same command again on all processes"


class Cancelled(Exception):
    """The wait for other processes was given up because the run ends."""


class Peers:
    """This process's side of the group, and a thread that receives the others' messages."""

    def __init__(self, client: Any, index: int, count: int):
        self.client, self.index, self.count = client, index, count
        self.names = itertools.count()
        self.end_together = False
        self.on_stop: Callable[[], None] | None = None
        self._guard, self._leaving = threading.Lock(), threading.Lock()
        self._started, self._stop_requested, self._closed = 0, False, threading.Event()
        self._listener = threading.Thread(target=self._listen, name="processes", daemon=True)
        self._listener.start()

    def local_devices(self) -> int:
        """Number of this process's devices. Starts them, for which JAX waits for all processes."""
        return jax.local_device_count()

    def close(self) -> None:
        """Waits until all processes have come to their end."""
        self._closed.set()
        self._listener.join()
        jax.distributed.shutdown()

    def get(self, key: str, owner: int, cancelled: threading.Event | None) -> str:
        """Waits for a value of process `owner`."""
        end = time.monotonic() + _ANSWER_S
        while time.monotonic() < end:
            if cancelled is not None and cancelled.is_set():
                raise Cancelled
            try:
                return self.client.blocking_key_value_get(key, 1000)
            except jax.errors.JaxRuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise UserError(f"process {owner} cannot be reached: {error}. {_REMEDY}") from error
        raise UserError(f"process {owner} has not answered for {_ANSWER_S} s. End it. {_REMEDY}")

    def request_stop(self) -> None:
        """Tells the others, once, that the run is to stop, and up to which step this process will go by itself."""
        with self._guard:
            if self._stop_requested:
                return
            self._stop_requested, started = True, self._started
        self.client.key_value_set(f"end/stop/{self.index}", str(started))

    def stops_after(self, step: int) -> bool:
        """Every process reports its step and waits for all others; the furthest step is the last."""
        with self._guard:
            if not self._stop_requested:
                self._started = step + 1
                return False
        last = max(int(self.get(f"end/stop/{i}", i, None)) for i in range(self.count))
        self.end_together = step >= last
        return self.end_together

    def exit_all(self, status: int, message: str) -> NoReturn:
        """Ends this process from any thread, and the others with the same status."""
        with self._leaving:
            words = threading.Thread(target=self._announce_exit, args=(status, message), daemon=True)
            words.start()
            words.join(_LAST_WORDS_S)
            os._exit(status)

    def _announce_exit(self, status: int, message: str) -> None:
        """Process 0 waits for the others, who hear nothing any more when it is gone."""
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            self.client.key_value_set(f"end/leave/{self.index}", json.dumps([status, message]))
            while self.index == 0 and len(self.client.key_value_dir_get("end/leave/")) < self.count:
                time.sleep(_POLL_S / 4)

    def _listen(self) -> None:
        heard = False
        while not self._closed.wait(_POLL_S):
            try:
                said = dict(self.client.key_value_dir_get("end/"))
            except jax.errors.JaxRuntimeError:
                continue  # JAX itself ends this process if process 0 is gone
            for key, text in said.items():
                _, kind, sender = key.split("/")
                if kind == "leave" and int(sender) != self.index:
                    status, message = json.loads(text)
                    os.write(2, f"process {sender}: {message}\n".encode())
                    self.exit_all(status, f"process {sender}: {message}")
            heard = heard or f"end/stop/{self.index}" in said
            if not heard and any(key.startswith("end/stop/") for key in said) and self.on_stop is not None:
                heard = True
                self.on_stop()


def join(coordinator: str | None, num_processes: int | None, index: int | None) -> Peers:
    """Joins the processes of a run; arguments and errors are those of `processes.initialize`."""
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM for itself
    late = threading.Timer(JOIN_S, _give_up, args=(coordinator or "the cluster's address", num_processes or "all"))
    late.start()
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            index,
            initialization_timeout=2 * JOIN_S,
            heartbeat_timeout_seconds=DEAD_S,
            shutdown_timeout_seconds=_SHUTDOWN_S,
        )
    except ValueError as error:
        remedy = "Give --coordinator, --num_processes and --process_id"
        raise UserError(f"JAX does not know this cluster: {error} {remedy}") from error
    except RuntimeError as error:
        raise UserError(f"process {index} of {num_processes} could not join at {coordinator}: {error}") from error
    finally:
        late.cancel()
    return Peers(global_state.client, global_state.process_id, global_state.num_processes)


def _give_up(address: str, number: int | str) -> None:
    """JAX would end the process too, without saying what is missing."""
    text = f"error: {number} processes have not come together at {address} within {JOIN_S} s. Start every one of them, "
    os.write(2, f"{text}with the same address, which all hosts can reach\n".encode())
    os._exit(ERROR)
