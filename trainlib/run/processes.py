"""Several processes of one run: how they join, what they agree on, and how they end together.

`trainlib.run.peers` carries their messages, which are JSON. A process that has not called `initialize` is the only one.
Then nothing here waits or imports JAX.
"""

import collections
import contextlib
import hashlib
import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from trainlib.core.cli import STOPPED
from trainlib.core.errors import UserError

if TYPE_CHECKING:
    from trainlib.run.peers import Peers

_KEPT = 1000  # named values in the store, by when all have read them

_log = logging.getLogger(__name__)

_peers: "Peers | None" = None


def initialize(coordinator: str | None = None, num_processes: int | None = None, index: int | None = None) -> None:
    """Joins the processes of a run. Before anything else that uses JAX's devices.

    Args:
        coordinator: HOST:PORT of process 0, a free port there; nothing at all where JAX knows the cluster.
        num_processes: of the run. index: of this process, 0 .. num_processes - 1.

    Raises:
        UserError: if they do not come together.
    """
    from trainlib.run import peers  # and with it JAX, which no other function here needs

    global _peers
    _peers = peers.join(coordinator, num_processes, index)
    require_same("the number of devices", _peers.local_devices())


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
        cancelled: ends the wait with `peers.Cancelled`.
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
    leaving, _peers = _peers, None
    leaving.close()
