"""A training run around its steps: restored start, metrics, logs, saves, measurements, and the end by a signal."""

import collections
import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from trainlib.core.errors import Stopped, UserError
from trainlib.core.text import duration
from trainlib.run import parallel, processes
from trainlib.run.flags import strict
from trainlib.run.metrics import MetricWriter
from trainlib.run.signals import StopRequest
from trainlib.run.workdir import Workdir
from trainlib.store.checkpoints import CheckpointStore

FIRST_LOGGED = (1, 2, 5, 10)
"""Steps after which metrics are logged too, so that a new run soon shows its loss and its speed.

They are means since the log before. Those after every `log_every`-th step remain means of `log_every` steps.
"""

_log = logging.getLogger(__name__)


class Schedule(NamedTuple):
    """When things are due in a run."""

    total: int  # steps of the whole run
    log_every: int  # steps, besides the first ones; 0: never
    save_every: int  # steps; 0: at the end alone
    keep: int  # checkpoints that are kept


class Measurement(NamedTuple):
    """Something that is measured now and then on the state, such as an evaluation."""

    name: str  # for messages, with its article
    function: Callable[[Any], dict[str, float]]  # state on the devices -> figures
    every: int  # steps
    key: str  # the figure whose presence shows that a step was measured
    score: str = ""  # the figure by which checkpoints compare, higher is better; "" for none
    shown: str = ""  # beginning of the names of the figures that are logged
    digits: int = 4  # decimals in the log


class TrainRun:
    """Everything of a training but its step. The order after a step is fixed here: window, log, save, stop.

    with TrainRun(folder, stop, state, schedule, advice=..., rate=...) as run:
        folder.keep_config()
        state = run.begin(run.state)
        run.measure_again(state, evaluation)
        for step, batch in run.steps(batches):
            with run.compiling(step, state, when=batch.is_new):
                state, metrics = train_step(state, batch)
            run.finish(step, state, metrics, batch.contents)
            run.measure(step + 1, state, evaluation)

    Of several processes, process 0 writes; the others wait until it has, and know whether it could.

    Args:
        state: initial state, with an integer `step`; a checkpoint of the run replaces it.
        advice: what to do about a loss that is not finite.
        rate: step, from 0 -> learning rate, for the log.

    Attributes:
        state: the restored state, or the initial one, on the host.
        resumed: whether there was a checkpoint.
        start: steps that are done.
        total: steps of the whole run.
    """

    def __init__(
        self,
        folder: Workdir,
        stop: StopRequest,
        state: Any,
        schedule: Schedule,
        *,
        advice: str,
        rate: Callable[[int], float],
    ):
        self._folder, self._stop, self._schedule, self._rate = folder, stop, schedule, rate
        self._window, self._since_log = MetricWindow(advice), MetricWindow(advice)  # the second for FIRST_LOGGED
        self._writer: MetricWriter | None = None
        self.state, self.total = state, schedule.total

    def __enter__(self) -> "TrainRun":
        with contextlib.ExitStack() as exits:
            self._store = exits.enter_context(CheckpointStore(self._folder.checkpoints, keep=self._schedule.keep))
            if processes.is_first():
                self._store.check_space(self.state)
            self.resumed = processes.broadcast_from_first(self._store.latest_step()) is not None
            if self.resumed:
                self._restore()
            self._exits = exits.pop_all()
        self.start = self._saved = int(self.state.step)
        if self.resumed:
            _log.info("Resuming after step %d of %d", self.start, self.total)
        return self

    def _restore(self) -> None:
        """Reads the newest whole checkpoint. Process 0 chooses the step, and the others read the same one."""
        step = None
        if processes.is_first():
            self.state, step = self._store.restore(self.state, strict=strict())
        step = processes.broadcast_from_first(step)
        if not processes.is_first():
            self.state, _ = self._store.restore(self.state, step)

    def __exit__(self, *exception: object) -> None:
        self._exits.__exit__(*exception)

    def begin(self, state: Any) -> Any:
        """Opens the metrics and returns the state on the devices. To be called once, before anything else."""
        if processes.is_first():
            self._writer = self._exits.enter_context(MetricWriter(self._folder.path, self.start))
        self._progress, self._began = Progress(self.total, self.start), time.monotonic()
        if self.start:
            notes = self._store.notes(self.start)
            self._window.resume(notes)
            self._since_log.resume(notes.get("since_log", {}))
        if self.start >= self.total:
            _log.info("Nothing to do: the run has finished; it has %d steps", self.total)
        return parallel.to_devices(state)

    def steps(self, batches: Any) -> Iterator[tuple[int, Any]]:
        """(step from 0, its batch) to the end of the run; logs at the end how long the devices waited for data.

        `batches` is an iterator whose `waited_s` counts the seconds spent waiting for it.
        """
        self._batches = batches
        yield from zip(range(self.start, self.total), batches)
        if batches.waited_s and self.total - self.start > 1:
            share = batches.waited_s / (time.monotonic() - self._began)
            _log.info("The devices waited for data %.1f %% of the time", 100 * share)

    def compiling(self, step: int, state: Any, when: bool) -> contextlib.AbstractContextManager[None]:
        """Around a step that compiles: a signal ends it at once, and the state before it is saved."""
        return self._interruptible(step, state, "compiling a step") if when else contextlib.nullcontext()

    def finish(self, step: int, state: Any, metrics: dict[str, Any], contents: str) -> None:
        """After a step: its metrics join the window; logs, saves and stops where that is due.

        Args:
            step: from 0.
            state: after it, on the devices.
            metrics: scalars on the devices.
            contents: what its batch held, for messages.

        Raises:
            UserError: metrics that are not finite, at the latest one step later.
            Stopped: a signal has come; the state is saved.
        """
        done = step + 1
        self._window.add(step, contents, metrics)
        if done <= FIRST_LOGGED[-1]:
            self._since_log.add(step, contents, metrics)
        if step == self.start:
            _log.info("First step after %.0f s", time.monotonic() - self._began)
            self._progress, self._began, self._batches.waited_s = Progress(self.total, done), time.monotonic(), 0.0
        is_whole = is_due(done, self._schedule.log_every, self.total)
        if is_whole or (self._schedule.log_every and done in FIRST_LOGGED):
            means = self._since_log.close()
            values = {**(self._window.close() if is_whole else means), "learning_rate": float(self._rate(step))}
            self.write(done, values)
            _log.info("%s  %s", self._progress.line(done), "  ".join(f"{k} {v:.4g}" for k, v in values.items()))
        if done == self.total or is_due(done, self._schedule.save_every, self.total):
            self._save(done, state)
        if done < self.total and self._stop.stops_after(done):
            self._save(done, state)
            raise Stopped(f"stopped after step {done}, which is saved")

    def write(self, done: int, values: dict[str, Any]) -> None:
        """Writes figures of the state after `done` steps to the run's metrics."""
        if self._writer is not None:
            self._writer.write(done, values)

    def measure(self, done: int, state: Any, what: Measurement | None) -> None:
        """Measures the state after `done` steps where that is due: saved before, interruptible, written and logged."""
        if what is None or not is_due(done, what.every, self.total):
            return
        with self._interruptible(done, state, f"{what.name} after step {done}"):
            values = what.function(state)
        if what.score and done == self._saved and processes.is_first():
            self._store.score(done, values[what.score], retry_later=True)
        self.write(done, values)
        shown = (f"{k} {v:.{what.digits}f}" for k, v in values.items() if k.startswith(what.shown))
        _log.info("step %d  %s", done, "  ".join(shown))

    def measure_again(self, state: Any, what: Measurement | None) -> None:
        """Measures the restored state if the run was stopped between its save and its measurement."""
        if what is None or not self.start:
            return
        missing = self._writer is not None and not self._writer.has(self.start, what.key)
        if processes.broadcast_from_first(missing):
            self.measure(self.start, state, what)

    def _save(self, done: int, state: Any) -> None:
        """Keeps the state after `done` steps, unless it is kept already, with the open window of its metrics.

        A full disk is an error at the end of the run or when it has been asked to stop; before, the next save tries
        again.
        """
        if done == self._saved:
            return
        notes, kept = self._window.notes(), False
        if since_log := self._since_log.notes():
            notes = {**notes, "since_log": since_log}
        if processes.is_first():
            later = done < self.total and not self._stop.requested
            kept = self._store.save(done, parallel.to_host(state), notes=notes, retry_later=later)
        if processes.broadcast_from_first(kept):
            self._saved = done

    @contextlib.contextmanager
    def _interruptible(self, done: int, state: Any, what: str) -> Iterator[None]:
        """Around long work between steps that a signal ends at once; the state after `done` steps is saved before.

        If the disk is full, a signal has to wait for the end of the work.
        """
        self._save(done, state)
        with self._stop.busy(what) if done == self._saved else contextlib.nullcontext():
            yield


def is_due(step: int, every: int, total: int) -> bool:
    """Whether an action that happens every `every` steps happens after step `step` of `total` (steps count from 1).

    True at the multiples of `every` and at the last step; never for `every` = 0.
    """
    if every < 0:
        raise ValueError(f"an interval cannot be negative: {every}")
    return every > 0 and step > 0 and (step % every == 0 or step == total)


class MetricWindow:
    """Means of the steps' metrics between two logs; a value that is not finite is refused, at most one step later.

    A step's metrics may still be computing when they are added: they are waited for when the next step has been
    started, so that the check never idles the device.
    """

    def __init__(self, advice: str):
        """`advice` ends the error message: what to do about a loss that is not finite."""
        self._advice = advice
        self._open: tuple[int, str, dict[str, Any]] | None = None
        self._sums: dict[str, float] = {}
        self._count = 0

    def notes(self) -> dict[str, Any]:
        """The window as JSON values, for a checkpoint; empty right after `close`. Raises as `add` does."""
        self._check()
        return {"count": self._count, "sums": self._sums} if self._count else {}

    def resume(self, notes: dict[str, Any]) -> None:
        """Continues the window that `notes` gave, so that a resumed run's means are the uninterrupted run's."""
        if notes:
            self._count, self._sums = notes["count"], dict(notes["sums"])

    def add(self, step: int, contents: str, metrics: dict[str, Any]) -> None:
        """Takes the metrics (scalars) of a step and its batch's content.

        Raises UserError, with step, quantity and batch, if a metric of the step before is not finite.
        """
        self._check()
        self._open = (step, contents, metrics)

    def close(self) -> dict[str, float]:
        """Means since the last call. Raises as `add` does."""
        self._check()
        means = {key: total / self._count for key, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means

    def _check(self) -> None:
        if self._open is None:
            return
        (step, contents, metrics), self._open = self._open, None
        values = {key: float(value) for key, value in metrics.items()}
        bad = ", ".join(f"{key} is {value}" for key, value in values.items() if not math.isfinite(value))
        if bad:
            raise UserError(f"step {step}: {bad} with {contents}. The last good checkpoint is kept. {self._advice}")
        for key, value in values.items():
            self._sums[key] = self._sums.get(key, 0.0) + value
        self._count += 1


class Progress:
    """Speed and remaining time, from the last `window` calls of `line`: the first steps' compilation soon drops out.

    Args:
        total: steps of the whole run.
        start: step that the run starts from (0, or the restored step).
        clock: seconds, monotonic.
    """

    def __init__(self, total: int, start: int = 0, window: int = 10, clock: Callable[[], float] = time.monotonic):
        self._total, self._clock = total, clock
        self._marks = collections.deque([(clock(), start)], maxlen=window + 1)

    def line(self, step: int) -> str:
        """For example "step 120/400  2.1 steps/s  ETA 2m 13s"."""
        self._marks.append((self._clock(), step))
        (first_time, first_step), (last_time, last_step) = self._marks[0], self._marks[-1]
        head = f"step {step}/{self._total}"
        if last_step <= first_step or last_time <= first_time:
            return head
        speed = (last_step - first_step) / (last_time - first_time)
        pace = f"{speed:.3g} steps/s" if speed >= 1 else f"{1 / speed:.3g} s/step"
        return f"{head}  {pace}  ETA {duration((self._total - step) / speed)}"
