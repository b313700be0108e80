"""The look of the plots: one style for training curves, bars, confusions and scatters. Headless."""

import os
import pathlib

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trainlib.core.files import atomic_file
from trainlib.core.outputs import require_file

# Okabe and Ito's colours, which people with any colour vision can distinguish; black is left for text.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C")
# Line styles beyond the seventh line, whose colours repeat.
DASHES, HATCHES = ("-", "--", ":"), ("", "///", "...")
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
