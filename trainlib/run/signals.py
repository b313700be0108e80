"""SIGTERM and SIGINT: a request to save and leave.

Python runs its signal handlers in the main thread between two byte codes, so not while XLA compiles. The interpreter's
C handler however writes each signal's number to a pipe at once (`signal.set_wakeup_fd`), and a thread that reads this
pipe can answer.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from trainlib.core.cli import ERROR, STOPPED
from trainlib.core.errors import Stopped
from trainlib.run import processes

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CLOSE = 0
_ECHO_S = 0.2  # `timeout` signals its child and then the group: the same signal twice

_log = logging.getLogger(__name__)


class StopRequest:
    """While entered, SIGTERM and SIGINT set `requested` instead of ending the process; a second one exits at once.

    with StopRequest() as stop:
        with stop.busy("compile"):
            step = compile_step()
        for ...:
            train one step
            if stop.stops_after(step + 1):
                save; raise Stopped("stopped at step ...")

    A signal to one process of several counts for all of them. Only the main thread may enter it.
    """

    def __init__(self) -> None:
        self._requested = False
        self._guard = threading.Lock()
        self._busy: str | None = None
        self._handled: float | None = None

    @property
    def requested(self) -> bool:
        """Whether a signal has come, to this process or another."""
        return self._requested

    def stops_after(self, step: int) -> bool:
        """Whether the run ends, in all processes, now that `step` steps are done. To be asked after every step."""
        return self.requested if processes.count() == 1 else processes.stops_after(step)

    @contextlib.contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Around long work in C++ (a compile) with nothing to save: a signal then exits immediately.

        Raises Stopped if the signal came before. All processes leave then, so none may have anything to save.
        """
        with self._guard:
            if self._requested:
                raise Stopped(f"stopped before {what}")
            self._busy = what
        try:
            yield
        finally:
            with self._guard:
                self._busy = None

    def __enter__(self) -> "StopRequest":
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        self._old_wakeup = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        self._old_handlers = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        self._watcher = threading.Thread(target=self._watch, name="stop-request", daemon=True)
        self._watcher.start()
        processes.on_stop(lambda: self._ask("another process was asked to stop"))
        return self

    def __exit__(self, *exception: object) -> None:
        processes.on_stop(None)
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_wakeup)
        os.write(self._write_end, bytes([_CLOSE]))
        self._watcher.join()
        os.close(self._write_end)
        os.close(self._read_end)

    def _watch(self) -> None:
        """The thread: answers each signal that arrives in the pipe."""
        first = None
        while True:
            number = os.read(self._read_end, 1)[0]
            if number == _CLOSE:
                return
            if number not in _SIGNALS:
                continue
            if first is None:
                first = time.monotonic()
                self._ask(signal.Signals(number).name)
            else:
                _leave_on_second(first)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Runs in the main thread; makes up for bytes that an event loop with its own pipe has taken."""
        if self._handled is None:
            self._handled = time.monotonic()
            self._requested = True
        else:
            _leave_on_second(self._handled)

    def _ask(self, why: str) -> None:
        with self._guard:
            self._requested = True
            busy = self._busy
        if busy is not None:
            _leave(STOPPED, f"{why} during {busy}: stopped, run the same command again to continue")
        _log.warning("%s: will save and stop after the running step; a second signal stops at once", why)
        processes.request_stop()


def _leave_on_second(first: float) -> None:
    """Ends the process, unless the first signal (at that monotonic time) has only just come."""
    if time.monotonic() - first > _ECHO_S:
        _leave(ERROR, "second signal: left at once, nothing saved since the last checkpoint")


def _leave(status: int, message: str) -> None:
    """Ends the process from any thread, without the interpreter's clean-up, which would wait for the main thread."""
    os.write(2, f"{message}\n".encode())
    processes.exit_all(status, message)
