"""Pictures of what pruning makes networks forget: curves over the sparsity and a contact sheet of exemplars."""

import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from sdclr_jax.probe.balancedness import GROUP_COLORS, MARKERS
from sdclr_jax.probe.corruptions import CORRUPTIONS
from sdclr_jax.report.exemplar_report import CLEAN, Example
from trainlib.analysis.plots import COLORS, INK, SOFT, new_figure, save_figure, style_axes

_LONGEST = 16  # characters of a class's name


def short_name(name: str) -> str:
    """A class's name for a picture, cut after 16 characters; signs that start a formula of Matplotlib are escaped."""
    short = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return short.replace("$", r"\$")


def draw_curves(path: pathlib.Path, report: dict, title: str) -> None:
    """Writes the curves: accuracy by group and class, exemplars by group, accuracy under corruptions."""
    figure = new_figure(13.5, 4.8, title)
    accuracy, found, corruptions = figure.subplots(1, 3)
    _draw_accuracy(accuracy, report)
    _draw_exemplars(found, report)
    _draw_corruptions(corruptions, report)
    save_figure(figure, path)


def _sparsities(report: dict) -> list[float]:
    return [100 * level["sparsity"] for level in report["levels"]]


def _per_cent(shares: Sequence[float | None]) -> list[float]:
    """Shares in % for a line, which breaks where there is none."""
    return [np.nan if share is None else 100 * share for share in shares]


def _draw_accuracy(axes: Axes, report: dict) -> None:
    """Groups as thick lines, their classes as thin ones; sparsity 0 are the dense networks."""
    style_axes(axes, "Accuracy by class size (thin: each class)", x="pruned weights (%)", y="accuracy (%)")
    levels, sparsities = [report["dense"], *report["levels"]], [0, *_sparsities(report)]
    for (name, color), marker in zip(GROUP_COLORS.items(), MARKERS):
        for k in report["groups"][name]:
            values = _per_cent([level[CLEAN]["classes"][k] for level in levels])
            axes.plot(sparsities, values, color=color, linewidth=0.7, alpha=0.4)
        values = _per_cent([level[CLEAN][name] for level in levels])
        axes.plot(sparsities, values, color=color, marker=marker, linewidth=2, label=name.capitalize())
    axes.set_ylim(0, 100)
    axes.legend(fontsize=9, frameon=False)


def _draw_exemplars(axes: Axes, report: dict) -> None:
    style_axes(axes, "Share of a group's images that are exemplars", x="pruned weights (%)", y="images (%)")
    for (name, color), marker in zip(GROUP_COLORS.items(), MARKERS):
        rates = [level["forgotten"]["by_group"][name]["rate"] for level in report["levels"]]
        axes.plot(_sparsities(report), _per_cent(rates), color=color, marker=marker, label=name.capitalize())
    shares = [100 * level["forgotten"]["share"] for level in report["levels"]]
    axes.plot(_sparsities(report), shares, color=SOFT, linestyle="--", label="all images")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=9, frameon=False)


def _draw_corruptions(axes: Axes, report: dict) -> None:
    style_axes(axes, "Accuracy on corrupted images", x="pruned weights (%)", y="accuracy (%)")
    levels, sparsities = [report["dense"], *report["levels"]], [0, *_sparsities(report)]
    for version, color in zip((CLEAN, *CORRUPTIONS), (INK, *COLORS)):
        values = _per_cent([level[version]["all"] for level in levels])
        axes.plot(sparsities, values, color=color, marker="o", markersize=4, label=version)
    axes.set_ylim(0, 100)
    axes.legend(fontsize=9, frameon=False)


def draw_sheet(
    path: pathlib.Path,
    images: np.ndarray,
    rows: Sequence[tuple[float, Sequence[Example]]],
    groups: dict,
    names: Sequence[str],
    title: str,
) -> None:
    """Writes the contact sheet: a row for each sparsity, images uint8 [N, H, W, 3] with the names of their classes.

    Args:
        groups: name -> classes, as in the report; the frame of an image has the colour of its class's group.
    """
    across = max([len(found) for _, found in rows] + [6])
    tall = 1.6 if max(map(len, names)) < 3 else 2.0
    figure = new_figure(1.5 + 1.15 * across, 1.1 + tall * len(rows), title)
    color_of = {k: GROUP_COLORS[name] for name, classes in groups.items() for k in classes}
    for (sparsity, found), panels in zip(rows, figure.subplots(len(rows), across, squeeze=False)):
        for axes in panels:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        panels[0].set_ylabel(f"{100 * sparsity:g} %" + ("" if found else "\nnone"), rotation=0, ha="right", color=INK)
        for axes, example in zip(panels, found):
            axes.imshow(images[example.row], interpolation="nearest")
            axes.spines[:].set(visible=True, color=color_of[example.true], linewidth=2.5)
            true, dense, pruned = (short_name(names[k]) for k in (example.true, example.dense, example.pruned))
            one_line = max(map(len, (true, dense, pruned))) < 3
            parts = (f"{true}:", f"{dense} \N{RIGHTWARDS ARROW}", pruned)
            text = (" " if one_line else "\n").join(parts)
            axes.set_xlabel(text, fontsize=9 if one_line else 7, color=INK, labelpad=2)
    handles = [Axes.plot(figure.axes[0], [], [], color=color, linewidth=4)[0] for color in GROUP_COLORS.values()]
    names = [name.capitalize() for name in GROUP_COLORS]
    figure.legend(handles, names, loc="outside lower left", ncols=3, fontsize=9, frameon=False)
    save_figure(figure, path)
