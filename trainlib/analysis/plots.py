"""The look of the plots, headless, and training curves: what runs wrote into metrics.jsonl, a line for each run."""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trainlib.core.files import atomic_file
from trainlib.core.outputs import require_file

# Okabe and Ito's colours, which people with any colour vision can distinguish; black is left for text.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C")
# Line styles beyond the seventh line, whose colours repeat.
DASHES, HATCHES = ("-", "--", ":"), ("", "///", "...")
LONGEST_NAME = 16  # characters
INK, SOFT, LINE = "#26282c", "#6b7078", "#e4e4e0"


def require_picture(path: str | os.PathLike) -> pathlib.Path:
    """Checks before anything is drawn that `--output` can be written and has the ending of a picture.

    Raises UserError with the path and the cause.
    """
    return require_file(path, endings=FigureCanvasAgg.filetypes)


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """A figure of the given inches, whose parts do not overlap. `save_figure` writes it without a display."""
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12, wspace=0.04, hspace=0.04)
    if title:
        figure.suptitle(title, x=0.012, ha="left", fontsize=12, color=INK)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Writes a figure in the format that the ending of `path` names; the file is whole or not there."""
    with atomic_file(path) as file:
        figure.savefig(file, format=pathlib.Path(path).suffix.removeprefix(".").lower())


def line_style(k: int) -> dict[str, str]:
    """Colour and line style of the line number `k`."""
    return {"color": COLORS[k % len(COLORS)], "linestyle": DASHES[k // len(COLORS) % len(DASHES)]}


def short_name(name: str) -> str:
    """A class's name for a picture, cut after 16 characters; signs that start a formula of Matplotlib are escaped."""
    short = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return short.replace("$", r"\$")


def style_axes(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Title at the left, labels, light horizontal lines, no frame."""
    axes.set_title(title, fontsize=10.5, loc="left", color=INK)
    axes.set_xlabel(x, color=SOFT)
    axes.set_ylabel(y, color=SOFT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.tick_params(colors=SOFT, labelsize=9)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)


def legend_below(figure: Figure, axes: Axes, columns: int = 3) -> None:
    """The legend of `axes` below all plots."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, fontsize=9, frameon=False)


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


def draw_panel(axes: Axes, records: dict[str, list[dict]], panel: Panel) -> None:
    """A line for each run, or a note if no run has the figure."""
    style_axes(axes, panel.title, x="step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    any_steps = False
    for k, (run, lines) in enumerate(records.items()):
        steps, values = (part[panel.first :] for part in series(lines, panel.name))
        size = 3 if len(steps) < 40 else 1.5
        look = line_style(k) | {"linewidth": 1.4, "marker": "o", "markersize": size}
        axes.plot(steps, panel.scale * values, label=run, **look)
        any_steps |= len(steps) > 0
    if not any_steps:
        axes.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=axes.transAxes, color=SOFT)
        axes.set_yticks([])


def run_title(records: dict[str, list[dict]]) -> str:
    """What the picture shows: "Training of runs/a: 500 steps"."""
    if len(records) > 1:
        return f"Training of {len(records)} runs"
    ((run, lines),) = records.items()
    return f"Training of {run}: {max(line['step'] for line in lines):,} steps"
