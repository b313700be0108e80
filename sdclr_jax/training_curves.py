"""The course of training runs as one picture: loss, learning rate, and the masks epoch by epoch."""

import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trainlib.errors import UserError
from trainlib.metrics_writer import read_metrics

LAYER = "mask/sparsity/"


def series(records: Sequence[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps int [n] and values float [n] of one figure, of the records that have it; a null is NaN."""
    found = [(record["step"], record[name]) for record in records if name in record]
    steps, values = zip(*found) if found else ((), ())
    return np.array(steps, int), np.array(values, float)


def read_runs(runs: Sequence[str | pathlib.Path]) -> dict[str, list[dict]]:
    """By the folder as given, the records of each run. UserError where a run has logged no loss."""
    records = {str(run): read_metrics(run) for run in runs}
    for run, lines in records.items():
        if not any("loss" in line for line in lines):
            raise UserError(f"{run} has no record of a loss in metrics.jsonl: it is no run, or one that has just begun")
    return records


def draw_training(path: str | pathlib.Path, records: dict[str, list[dict]]) -> None:
    """Writes the picture: a line for each run; of the first run with masks also the sparsity of every layer."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    (loss, rate), (sparsity, changed) = figure.subplots(2, 2, sharex=True)
    for axes, name, title, scale in (
        (loss, "loss", "Loss", 1),
        (rate, "learning_rate", "Learning rate", 1),
        (changed, "mask/changed", "Mask entries that changed since the last epoch (%)", 100),
    ):
        for run, lines in records.items():
            steps, values = series(lines, name)
            # At the first step all masks were full: that share is the sparsity, not a change.
            real = slice(1, None) if name == "mask/changed" else slice(None)
            axes.plot(steps[real], scale * values[real], linewidth=1.2, marker=".", markersize=3, label=run)
        axes.set_title(title, fontsize=10)
    if len(records) > 1:
        loss.legend(fontsize=8)
    _draw_sparsity(sparsity, records)
    for axes in (sparsity, changed):
        axes.set_xlabel("step")
        axes.set_ylim(bottom=0)
    figure.savefig(path, dpi=120)


def _draw_sparsity(axes: Axes, records: dict[str, list[dict]]) -> None:
    """All layers together, and each from the first to the last."""
    axes.set_title("Pruned weights (%): all, and by layer", fontsize=10)
    pruned = {run: lines for run, lines in records.items() if any("mask/sparsity" in line for line in lines)}
    if not pruned:
        axes.text(0.5, 0.5, "no pruned branch", ha="center", va="center", transform=axes.transAxes)
        return
    lines = next(iter(pruned.values()))
    names = list(dict.fromkeys(name for line in lines for name in line if name.startswith(LAYER)))
    for name, shade in zip(names, np.linspace(0.85, 0.25, len(names))):
        steps, values = series(lines, name)
        label = name.removeprefix(LAYER).removeprefix("backbone/") if name in (names[0], names[-1]) else None
        axes.plot(steps, 100 * values, color=str(shade), linewidth=0.8, marker=".", markersize=2, label=label)
    for lines in pruned.values():
        steps, values = series(lines, "mask/sparsity")
        axes.plot(steps, 100 * values, linewidth=1.6, marker=".", label="all" if len(pruned) == 1 else None)
    axes.legend(fontsize=8)
