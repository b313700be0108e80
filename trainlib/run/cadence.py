"""When something is due, and how far a run has come."""

import collections
import time
from collections.abc import Callable

from trainlib.core.text import duration


def is_due(step: int, every: int, total: int) -> bool:
    """Whether an action that happens every `every` steps happens after step `step` of `total` (steps count from 1).

    True at the multiples of `every` and at the last step; never for `every` = 0.
    """
    if every < 0:
        raise ValueError(f"an interval cannot be negative: {every}")
    return every > 0 and step > 0 and (step % every == 0 or step == total)


class Progress:
    """Speed and remaining time, from the last `window` calls of `line`.

    Args:
        total: steps of the whole run.
        start: step that the run starts from (0, or the restored step).
        window: number of past calls that the speed is measured over; the first steps' compilation soon drops out.
        clock: seconds, monotonic.
    """

    def __init__(self, total: int, start: int = 0, window: int = 10, clock: Callable[[], float] = time.monotonic):
        self._total = total
        self._clock = clock
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
