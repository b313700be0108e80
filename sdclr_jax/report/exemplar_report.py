"""What pruning makes networks forget, from the labels that dense and pruned networks predict.

The report as a dict and as lines, curves over the sparsity, and a contact sheet of exemplars.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from sdclr_jax.probe.balancedness import (
    GROUP_COLORS,
    MARKERS,
    Groups,
    balancedness,
    class_accuracies,
    without_nan,
)
from sdclr_jax.probe.corruptions import CORRUPTIONS
from sdclr_jax.probe.exemplar_predictor import CLEAN
from trainlib.analysis.plots import COLORS, INK, SOFT, new_figure, save_figure, short_name, style_axes
from trainlib.analysis.pruning_sweep import exemplars, modal_labels
from trainlib.core.text import pluralize


class Predictions(NamedTuple):
    """Labels predicted by the networks of one sparsity.

    Attributes:
        sparsity: share of pruned weights, 0 for the dense networks.
        labels: by version of the images, `CLEAN` or a corruption's name: int [M, N], of M networks.
    """

    sparsity: float
    labels: dict[str, np.ndarray]


def summarize_level(one: Predictions, labels: np.ndarray, groups: Groups) -> dict:
    """Accuracies at one sparsity, from labels int [N]: clean by group and class, corrupted by group."""
    num_classes = sum(map(len, groups))
    figures = {"sparsity": one.sparsity, "networks": len(one.labels[CLEAN])}
    for version, predicted in one.labels.items():
        classes = np.mean([class_accuracies(network, labels, num_classes) for network in predicted], axis=0)
        figures[version] = balancedness(classes, groups)._asdict()
        if version == CLEAN:
            figures[version]["classes"] = without_nan(classes)
    return figures


def forgotten(dense: Predictions, pruned: Predictions, labels: np.ndarray, groups: Groups) -> dict:
    """The exemplars of one sparsity among images with `labels` int [N], and their groups and classes.

    Returns:
        `count`; `share` of all images; by group: its share among the `exemplars` (None where there is none), its share
        among all `images`, and the `rate`, which part of the group's images are exemplars; `rates` of the classes; the
        dense networks' accuracy `dense_on_exemplars` and `dense_on_others` (None where there is none).
    """
    num_classes = sum(map(len, groups))
    is_exemplar = exemplars(dense.labels[CLEAN], pruned.labels[CLEAN], num_classes)
    right = (dense.labels[CLEAN] == labels).mean(0)
    by_group = {}
    for name, classes in groups._asdict().items():
        member = np.isin(labels, classes)
        shares = {"exemplars": member[is_exemplar], "images": member, "rate": is_exemplar[member]}
        by_group[name] = {key: _mean(values) for key, values in shares.items()}
    return {
        "count": int(is_exemplar.sum()),
        "share": float(is_exemplar.mean()),
        "by_group": by_group,
        "rates": [_mean(is_exemplar[labels == c]) for c in range(num_classes)],
        "dense_on_exemplars": _mean(right[is_exemplar]),
        "dense_on_others": _mean(right[~is_exemplar]),
    }


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def make_report(dense: Predictions, levels: list[Predictions], labels: np.ndarray, groups: Groups) -> dict:
    """`dense` and, for each sparsity, `levels` by `summarize_level` from `labels` [N], with `forgotten`."""
    return {
        "images": len(labels),
        "groups": {name: classes.tolist() for name, classes in groups._asdict().items()},
        "dense": summarize_level(dense, labels, groups),
        "levels": [
            summarize_level(level, labels, groups) | {"forgotten": forgotten(dense, level, labels, groups)}
            for level in levels
        ],
    }


class Example(NamedTuple):
    """An exemplar: its row among the images, the true label, and the modal labels."""

    row: int
    true: int
    dense: int
    pruned: int


def examples(dense: Predictions, pruned: Predictions, labels: np.ndarray, most: int) -> list[Example]:
    """Up to `most` exemplars, evenly over `labels` [N]. Those with a right dense label come first."""
    num_classes = 1 + max(map(np.max, (labels, dense.labels[CLEAN], pruned.labels[CLEAN])))
    before, after = (modal_labels(one.labels[CLEAN], num_classes) for one in (dense, pruned))
    rows = np.flatnonzero(before != after)
    kinds = [rows[before[rows] == labels[rows]], rows[before[rows] != labels[rows]]]
    chosen: list[int] = []
    for kind in kinds:
        count = min(most - len(chosen), len(kind))
        chosen += kind[np.linspace(0, len(kind) - 1, count).astype(int)].tolist() if count else []
    return [Example(row, int(labels[row]), int(before[row]), int(after[row])) for row in chosen]


def as_lines(report: Mapping) -> list[str]:
    """The report for the terminal, in %."""
    present = ", ".join(
        f"{100 * group['images']:.1f}" for group in report["levels"][0]["forgotten"]["by_group"].values()
    )
    lines = [f"  pruned  accuracy  exemplars  of them: Many  Medium  Few (of all images: {present})"]
    lines.append(f"{0:8.3g}  {100 * report['dense'][CLEAN]['all']:8.1f}")
    for level in report["levels"]:
        found, accuracy = level["forgotten"], 100 * level[CLEAN]["all"]
        shares = [group["exemplars"] for group in found["by_group"].values()]
        cells = "".join("     --" if share is None else f"{100 * share:7.1f}" for share in shares)
        lines.append(f"{100 * level['sparsity']:8.3g}  {accuracy:8.1f}  {100 * found['share']:9.1f}         {cells}")
    return lines


def draw_curves(path: pathlib.Path, report: dict) -> None:
    """Writes the curves: accuracy by group and class, exemplars by group, accuracy under corruptions.

    Groups are thick lines, their classes thin ones; sparsity 0 are the dense networks.
    """
    of = f"{pluralize(len(report['runs']), 'run')}, {pluralize(report['masks'], 'mask')} of each run and sparsity"
    title = f"What pruning makes networks forget: {of}, {report['images']:,} test images"
    figure = new_figure(13.5, 4.8, title)
    accuracy, found, corruptions = figure.subplots(1, 3)
    style_axes(accuracy, "Accuracy by class size (thin: each class)", x="pruned weights (%)", y="accuracy (%)")
    style_axes(found, "Share of a group's images that are exemplars", x="pruned weights (%)", y="images (%)")
    style_axes(corruptions, "Accuracy on corrupted images", x="pruned weights (%)", y="accuracy (%)")
    levels = [report["dense"], *report["levels"]]
    sparsities = [100 * level["sparsity"] for level in levels]

    def plot(axes: Axes, shares: Sequence[float | None], **look: object) -> None:
        """In %; the line breaks where there is no share."""
        values = [np.nan if share is None else 100 * share for share in shares]
        axes.plot(sparsities[-len(values) :], values, **look)

    for (name, color), marker in zip(GROUP_COLORS.items(), MARKERS):
        for k in report["groups"][name]:
            plot(accuracy, [level[CLEAN]["classes"][k] for level in levels], color=color, linewidth=0.7, alpha=0.4)
        look = {"color": color, "marker": marker, "label": name.capitalize()}
        plot(accuracy, [level[CLEAN][name] for level in levels], linewidth=2, **look)
        plot(found, [level["forgotten"]["by_group"][name]["rate"] for level in levels[1:]], **look)
    shares = [level["forgotten"]["share"] for level in levels[1:]]
    plot(found, shares, color=SOFT, linestyle="--", label="all images")
    for version, color in zip((CLEAN, *CORRUPTIONS), (INK, *COLORS)):
        shares = [level[version]["all"] for level in levels]
        plot(corruptions, shares, color=color, marker="o", markersize=4, label=version)
    for axes in (accuracy, found, corruptions):
        axes.set_ylim(0, None if axes is found else 100)
        axes.legend(fontsize=9, frameon=False)
    save_figure(figure, path)


def draw_sheet(
    path: pathlib.Path,
    images: np.ndarray,
    rows: Sequence[tuple[float, Sequence[Example]]],
    groups: dict,
    names: Sequence[str],
) -> None:
    """Writes the contact sheet: a row for each sparsity, images uint8 [N, H, W, 3] with the names of their classes.

    Args:
        groups: name -> classes, as in the report; the frame of an image has the colour of its class's group.
    """
    title = "Exemplars by pruned share; true: dense \N{RIGHTWARDS ARROW} pruned; frame: size of the class"
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
