"""Means of a step's metrics between two logs, and the check that they are finite."""

import math
from typing import Any

from trainlib.core.errors import UserError


class MetricWindow:
    """Collects the metrics of each step and refuses values that are not finite, at the latest one step later.

    A step's metrics may still be computing when they are added: they are waited for when the next step has been
    started, so that the check never idles the device. Call `check` before a save, so that no bad state is written.
    """

    def __init__(self, advice: str):
        """`advice` ends the error message: what to do about a loss that is not finite."""
        self._advice = advice
        self._open: list[tuple[int, str, dict[str, Any]]] = []
        self._sums: dict[str, float] = {}
        self._count = 0

    def notes(self) -> dict[str, Any]:
        """The open window as JSON values, for a checkpoint; empty right after `close`."""
        self.check()
        return {"count": self._count, "sums": self._sums} if self._count else {}

    def resume(self, notes: dict[str, Any]) -> None:
        """Goes on with the window that `notes` gave, so that a resumed run's means are the uninterrupted run's."""
        if notes:
            self._count, self._sums = notes["count"], dict(notes["sums"])

    def add(self, step: int, contents: str, metrics: dict[str, Any]) -> None:
        """Takes the metrics (scalars) of a step and its batch's content; checks the metrics of the step before."""
        self.check()
        self._open.append((step, contents, metrics))

    def check(self) -> None:
        """Waits for what is still open; raises UserError with step, quantity and batch if a value is not finite."""
        while self._open:
            step, contents, metrics = self._open.pop()
            values = {key: float(value) for key, value in metrics.items()}
            bad = [f"{key} is {value}" for key, value in values.items() if not math.isfinite(value)]
            if bad:
                raise UserError(
                    f"step {step}: {', '.join(bad)} with {contents}. The last good checkpoint is kept. {self._advice}"
                )
            for key, value in values.items():
                self._sums[key] = self._sums.get(key, 0.0) + value
            self._count += 1

    def close(self) -> dict[str, float]:
        """Means since the last call."""
        self.check()
        means = {key: total / self._count for key, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means
