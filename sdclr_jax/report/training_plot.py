"""The course of training runs as one picture: loss, learning rate, and the masks epoch by epoch."""

import pathlib

import numpy as np
from matplotlib.axes import Axes

from trainlib.analysis.plots import (
    COLORS,
    Panel,
    draw_panel,
    legend_below,
    new_figure,
    run_title,
    save_figure,
    series,
    style_axes,
)

LAYER = "mask/sparsity/"


def draw_training(path: str | pathlib.Path, records: dict[str, list[dict]]) -> None:
    """Writes the picture: a line for each run; of the first run with masks also the sparsity of every layer.

    `records` are by run, as `trainlib.run.metrics.read_runs` gives them.
    """
    is_pruned = any("mask/sparsity" in line for lines in records.values() for line in lines)
    figure = new_figure(11, 7 if is_pruned else 4, run_title(records))
    panels = figure.subplots(2 if is_pruned else 1, 2).ravel()
    draw_panel(panels[0], records, Panel("loss", "Loss (NT-Xent)"))
    draw_panel(panels[1], records, Panel("learning_rate", "Learning rate"))
    if is_pruned:
        _draw_sparsity(panels[2], records)
        # At the first step all masks were full: that share is the sparsity, not a change.
        changed = Panel("mask/changed", "Mask entries that changed since the last epoch (%)", scale=100, first=1)
        draw_panel(panels[3], records, changed)
        panels[3].set_ylim(bottom=0)
    if len(records) > 1:
        legend_below(figure, panels[0])
    save_figure(figure, path)


def _draw_sparsity(axes: Axes, records: dict[str, list[dict]]) -> None:
    """All layers together, and each from the first to the last."""
    pruned = [run for run, lines in records.items() if any("mask/sparsity" in line for line in lines)]
    run, lines = pruned[0], records[pruned[0]]
    style_axes(axes, f"Pruned weights (%): all, and by layer{'' if len(records) == 1 else ' of ' + run}", x="step")
    names = list(dict.fromkeys(name for line in lines for name in line if name.startswith(LAYER)))
    for name, shade in zip(names, np.linspace(0.85, 0.25, len(names))):
        steps, values = series(lines, name)
        label = name.removeprefix(LAYER).removeprefix("backbone/") if name in (names[0], names[-1]) else None
        axes.plot(steps, 100 * values, color=str(shade), linewidth=0.8, marker=".", markersize=2, label=label)
    for place, (run, lines) in enumerate(records.items()):
        if run in pruned:
            steps, values = series(lines, "mask/sparsity")
            color = COLORS[place % len(COLORS)]
            label = "all layers" if run == pruned[0] else None
            axes.plot(steps, 100 * values, color=color, linewidth=2, marker="o", markersize=3, label=label)
    axes.set_ylim(0, 101)
    axes.legend(fontsize=8, framealpha=0.9, edgecolor="none", loc="lower right")
