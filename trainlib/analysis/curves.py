"""Training curves: what runs wrote into metrics.jsonl, as panels with a line for each run."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from trainlib.analysis.plots import COLORS, DASHES, SOFT, style_axes
from trainlib.core.errors import UserError
from trainlib.run.metrics import read_metrics


class Panel(NamedTuple):
    """A figure over the steps.

    Attributes:
        name: in metrics.jsonl.
        title: of the plot.
        scale: factor, 100 for %.
        first: records before this one are skipped.
    """

    name: str
    title: str
    scale: float = 1
    first: int = 0


def series(records: Sequence[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps int [n] and values float [n] of one figure, of the records that have it; a null is NaN."""
    found = [(record["step"], record[name]) for record in records if name in record]
    steps, values = zip(*found) if found else ((), ())
    return np.array(steps, int), np.array(values, float)


def read_runs(runs: Sequence[str | os.PathLike]) -> dict[str, list[dict]]:
    """By the folder as given, the records of each run. UserError where a run has logged no loss."""
    records = {str(run): read_metrics(run) for run in runs}
    for run, lines in records.items():
        if not any("loss" in line for line in lines):
            raise UserError(f"{run} has no record of a loss in metrics.jsonl: it is not a run, or has just begun")
    return records


def draw_panel(axes: Axes, records: dict[str, list[dict]], panel: Panel) -> None:
    """A line for each run, or a note if no run has the figure."""
    style_axes(axes, panel.title, x="step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    empty = True
    for k, (run, lines) in enumerate(records.items()):
        steps, values = (part[panel.first :] for part in series(lines, panel.name))
        line = {"color": COLORS[k % len(COLORS)], "linestyle": DASHES[k // len(COLORS) % len(DASHES)], "linewidth": 1.4}
        size = 3 if len(steps) < 40 else 1.5
        axes.plot(steps, panel.scale * values, marker="o", markersize=size, label=run, **line)
        empty &= not len(steps)
    if empty:
        annotate_empty(axes, "not recorded")


def annotate_empty(axes: Axes, text: str) -> None:
    """A plot without data: the reason instead."""
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color=SOFT)
    axes.set_yticks([])


def run_title(records: dict[str, list[dict]]) -> str:
    """What the picture shows: "Training of runs/a: 500 steps"."""
    last = max(line["step"] for lines in records.values() for line in lines)
    return (
        f"Training of {next(iter(records))}: {last:,} steps"
        if len(records) == 1
        else f"Training of {len(records)} runs"
    )
