"""Saves of a running training: at most one a step, and before everything that a signal may cut short."""

import contextlib
from collections.abc import Iterator
from typing import Any

from trainlib.core.errors import Stopped
from trainlib.run import parallel, processes
from trainlib.run.checkpoints import CheckpointStore
from trainlib.run.signals import StopRequest
from trainlib.run.window import MetricWindow


def restore_newest(store: CheckpointStore, state: Any, strict: bool) -> Any | None:
    """The newest whole checkpoint, in the structure of `state`; None if there is none.

    Process 0 chooses the step, the others read the same one. Errors as in `CheckpointStore.restore`.
    """
    if processes.broadcast_from_first(store.latest_step()) is None:
        return None
    restored, step = store.restore(state, strict=strict) if processes.is_first() else (None, None)
    step = processes.broadcast_from_first(step)
    return restored if processes.is_first() else store.restore(state, step)[0]


class RunSaver:
    """Writes the replicated state of a run to its store, with the open window of its metrics.

    Process 0 writes; the others wait until it has, and know whether it could.

    Args:
        store: of the run.
        window: is checked before a save, so that no bad state is written; what is open in it is kept with the state.
        stop: of the run.
        start: step that the run starts from: 0, or the restored step.
        total: steps of the whole run.
    """

    def __init__(self, store: CheckpointStore, window: MetricWindow, stop: StopRequest, start: int, total: int):
        self._store, self._window, self._stop, self._total = store, window, stop, total
        self._saved = start
        if start:
            window.resume(store.notes(start))

    def save(self, step: int, state: Any) -> None:
        """Keeps the state after `step` steps, unless it is kept already.

        A full disk is an error at the end of the run or when it has been asked to stop; before, the next save tries
        again.
        """
        if step == self._saved:
            return
        later = step < self._total and not self._stop.requested
        notes, done = self._window.notes(), False
        if processes.is_first():
            done = self._store.save(step, parallel.unreplicate(state), notes=notes, retry_later=later)
        if processes.broadcast_from_first(done):
            self._saved = step

    def stop_if_requested(self, step: int, state: Any) -> None:
        """After a signal: saves and raises Stopped. Not after the last step, when little is left to do."""
        if step < self._total and self._stop.stops_after(step):
            self.save(step, state)
            raise Stopped(f"stopped after step {step}, which is saved")

    @contextlib.contextmanager
    def interruptible(self, step: int, state: Any, what: str) -> Iterator[None]:
        """Around long work between steps, a compilation or an evaluation, that a signal ends immediately.

        The state after `step` steps is saved before. If the disk is full, a signal has to wait for the end of the work.
        """
        self.save(step, state)
        with self._stop.busy(what) if step == self._saved else contextlib.nullcontext():
            yield

    def score(self, step: int, metric: float) -> None:
        """Adds the validation figure, higher is better, to a step that has been saved."""
        if step == self._saved and processes.is_first():
            self._store.score(step, metric, retry_later=True)
