"""Several processes of one run: how they join, what they agree on, and how they end together.

They talk through the key-value store of JAX's coordination service, which process 0 runs. Values are JSON. A process
that has not called `initialize` is the only one, and then nothing here waits for anybody.

The collectives of `jax.experimental.multihost_utils` do not serve here: they run on the devices, so that all processes
must make them in one order from one thread, and a waiting one can be neither cancelled nor given a time limit. The
loader threads agree on buckets in their own order. Between two processes on two cores a value takes 1.5 ms through the
store and 4 ms through `process_allgather`, whose first call takes 0.6 s.
"""

import collections
import contextlib
import hashlib
import itertools
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import jax
from jax._src.distributed import global_state  # the client of the key-value store has no public name

from trainlib.core.cli import ERROR, STOPPED
from trainlib.core.errors import UserError

JOIN_S = 300  # seconds that a process waits for the others at the start
DEAD_S = 30  # seconds without a sign of life after which JAX takes a process for dead and ends the others
_ANSWER_S = 3600
_SHUTDOWN_S = 60
_LAST_WORDS_S = 3
_POLL_S = 0.2
_KEPT = 1000  # named values in the store, by when all have read them
_REMEDY = "Its output shows why; then run the same command again on all processes"

_log = logging.getLogger(__name__)


class Cancelled(Exception):
    """The wait for other processes was given up because the run ends."""


class _Peers:
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

    def close(self) -> None:
        self._closed.set()
        self._listener.join()

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


_peers: _Peers | None = None


def initialize(coordinator: str | None = None, num_processes: int | None = None, index: int | None = None) -> None:
    """Joins the processes of a run. Before anything else that uses JAX's devices.

    Args:
        coordinator: HOST:PORT of process 0, a free port there; nothing at all where JAX knows the cluster.
        num_processes: of the run. index: of this process, 0 .. num_processes - 1.

    Raises:
        UserError: if they do not come together.
    """
    global _peers
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
    _peers = _Peers(global_state.client, global_state.process_id, global_state.num_processes)
    require_same("the number of devices", jax.local_device_count())


def _give_up(address: str, number: int | str) -> None:
    """JAX would end the process too, without saying what is missing."""
    text = f"error: {number} processes have not come together at {address} within {JOIN_S} s. Start every one of them, "
    os.write(2, f"{text}with the same address, which all hosts can reach\n".encode())
    os._exit(ERROR)


def count() -> int:
    """Processes of the run."""
    return _peers.count if _peers else 1


def index() -> int:
    """The number of this process."""
    return _peers.index if _peers else 0


def is_first() -> bool:
    """Whether this is the process that writes."""
    return index() == 0


def all_gather_json(value: Any, name: str | None = None, cancelled: threading.Event | None = None) -> list[Any]:
    """Returns the values (JSON) of all processes, in their order. Waits until each process has given its own.

    Args:
        value: of this process.
        name: of this call, used once. None numbers the calls: all processes then make them in the same order, from the
            main thread.
        cancelled: ends the wait with `Cancelled`.
    """
    if _peers is None:
        return [value]
    name = f"number/{next(_peers.names)}" if name is None else name
    _peers.client.key_value_set(f"value/{name}/{_peers.index}", json.dumps(value))
    return [json.loads(_peers.get(f"value/{name}/{i}", i, cancelled)) for i in range(_peers.count)]


class AllReduceMax(contextlib.AbstractContextManager):
    """agree(name, number) -> the largest number that a process gives under that name, for threads that work ahead.

    Leaving its `with` block ends what waits there.
    """

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._done: collections.deque[str] = collections.deque()

    def __call__(self, name: str, number: int) -> int:
        if _peers is None:
            return number
        largest = max(all_gather_json(number, f"largest/{name}", self._cancelled))
        self._done.append(name)
        if len(self._done) > _KEPT:
            _peers.client.key_value_delete(f"value/largest/{self._done.popleft()}/{_peers.index}")
        return largest

    def __exit__(self, *exception: object) -> None:
        self._cancelled.set()


def broadcast_from_first(value: Any) -> Any:
    """Process 0's value (JSON)."""
    return all_gather_json(value if is_first() else None)[0]


def require_same(what: str, value: Any) -> None:
    """Raises UserError if `value` (JSON) is not the same in every process."""
    digests = all_gather_json(hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest())
    others = [str(i) for i, digest in enumerate(digests) if digest != digests[0]]
    if others:
        raise UserError(
            f"{what} of process {', '.join(others)} differs from process 0; all processes need the same "
            "command, files and kind of machine"
        )


def on_stop(callback: Callable[[], None] | None) -> None:
    """`callback` is called, from a thread, once another process has been asked to stop; None for nobody."""
    if _peers is not None:
        _peers.on_stop = callback


def request_stop() -> None:
    """Tells the other processes that this one has been asked to stop."""
    if _peers is not None:
        _peers.request_stop()


def stops_after(step: int) -> bool:
    """Whether the run stops, in every process, now that `step` steps are done. To be asked after every step."""
    return _peers is not None and _peers.stops_after(step)


def exit_all(status: int, message: str) -> NoReturn:
    """Ends the process at once, from any thread, without the interpreter's clean-up; and all other processes."""
    if _peers is not None:
        _peers.exit_all(status, message)
    os._exit(status)


def shutdown(status: int) -> None:
    """At the end of the program: waits for the others if all end in the same way, ends them if this one failed."""
    global _peers
    if _peers is None:
        return
    if status and not (status == STOPPED and _peers.end_together):
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        if status != STOPPED:
            _log.error("All processes end. If another one has ended before this one, its output shows why")
        sys.stdout.flush()
        _peers.exit_all(status, "stopped" if status == STOPPED else "ended with an error")
    _peers.close()
    _peers = None
    jax.distributed.shutdown()
