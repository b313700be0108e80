"""Pictures of what pruning makes networks forget: curves over the sparsity and a contact sheet of exemplars."""

import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from sdclr_jax.balancedness import GROUP_COLORS, MARKERS
from sdclr_jax.corruptions import CORRUPTIONS
from sdclr_jax.exemplar_report import CLEAN, Example
from trainlib.figures import COLORS, INK, SOFT, new_figure, tidy


def draw_curves(path: pathlib.Path, report: dict, title: str) -> None:
    """Writes the curves: accuracy by group and class, exemplars by group, accuracy under corruptions."""
    figure = new_figure(13.5, 4.8, title)
    accuracy, found, corruptions = figure.subplots(1, 3)
    _draw_accuracy(accuracy, report)
    _draw_exemplars(found, report)
    _draw_corruptions(corruptions, report)
    figure.savefig(path)


def _sparsities(report: dict) -> list[float]:
    return [100 * level["sparsity"] for level in report["levels"]]


def _draw_accuracy(axes: Axes, report: dict) -> None:
    """Groups as thick lines, their classes as thin ones; sparsity 0 are the dense networks."""
    tidy(axes, "Accuracy by class size (thin: each class)", x="pruned weights (%)", y="accuracy (%)")
    levels, sparsities = [report["dense"], *report["levels"]], [0, *_sparsities(report)]
    for (name, color), marker in zip(GROUP_COLORS.items(), MARKERS):
        for k in report["groups"][name]:
            values = [100 * level[CLEAN]["classes"][k] for level in levels]
            axes.plot(sparsities, values, color=color, linewidth=0.7, alpha=0.4)
        values = [100 * level[CLEAN][name] for level in levels]
        axes.plot(sparsities, values, color=color, marker=marker, linewidth=2, label=name.capitalize())
    axes.set_ylim(0, 100)
    axes.legend(fontsize=9, frameon=False)


def _draw_exemplars(axes: Axes, report: dict) -> None:
    tidy(axes, "Share of a group's images that are exemplars", x="pruned weights (%)", y="images (%)")
    for (name, color), marker in zip(GROUP_COLORS.items(), MARKERS):
        rates = [level["forgotten"]["by_group"][name]["rate"] for level in report["levels"]]
        values = [np.nan if rate is None else 100 * rate for rate in rates]
        axes.plot(_sparsities(report), values, color=color, marker=marker, label=name.capitalize())
    shares = [100 * level["forgotten"]["share"] for level in report["levels"]]
    axes.plot(_sparsities(report), shares, color=SOFT, linestyle="--", label="all images")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=9, frameon=False)


def _draw_corruptions(axes: Axes, report: dict) -> None:
    tidy(axes, "Accuracy on corrupted images", x="pruned weights (%)", y="accuracy (%)")
    levels, sparsities = [report["dense"], *report["levels"]], [0, *_sparsities(report)]
    for version, color in zip((CLEAN, *CORRUPTIONS), (INK, *COLORS)):
        values = [100 * level[version]["all"] for level in levels]
        axes.plot(sparsities, values, color=color, marker="o", markersize=4, label=version)
    axes.set_ylim(0, 100)
    axes.legend(fontsize=9, frameon=False)


def draw_sheet(
    path: pathlib.Path, images: np.ndarray, rows: Sequence[tuple[float, Sequence[Example]]], groups: dict, title: str
) -> None:
    """Writes the contact sheet: a row for each sparsity, images uint8 [N, H, W, 3] with their labels.

    groups: name -> classes, as in the report; the frame of an image has the colour of its class's group.
    """
    across = max([len(found) for _, found in rows] + [6])
    figure = new_figure(1.5 + 1.15 * across, 1.1 + 1.6 * len(rows), title)
    color_of = {k: GROUP_COLORS[name] for name, classes in groups.items() for k in classes}
    for (sparsity, found), panels in zip(rows, figure.subplots(len(rows), across, squeeze=False)):
        for axes in panels:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        panels[0].set_ylabel(f"{100 * sparsity:g} %" + ("" if found else "\nnone"), rotation=0, ha="right", color=INK)
        for axes, example in zip(panels, found):
            axes.imshow(images[example.row], interpolation="nearest")
            axes.spines[:].set(visible=True, color=color_of[example.true], linewidth=2.5)
            labels = f"{example.true}: {example.dense} \N{RIGHTWARDS ARROW} {example.pruned}"
            axes.set_xlabel(labels, fontsize=9, color=INK, labelpad=2)
    handles = [Axes.plot(figure.axes[0], [], [], color=color, linewidth=4)[0] for color in GROUP_COLORS.values()]
    names = [name.capitalize() for name in GROUP_COLORS]
    figure.legend(handles, names, loc="outside lower left", ncols=3, fontsize=9, frameon=False)
    figure.savefig(path)
