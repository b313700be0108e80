"""What pruning makes networks forget, from the labels that dense and pruned networks predict."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sdclr_jax.probe.balancedness import Groups, balancedness, class_accuracies, without_nan
from trainlib.analysis.pruning_sweep import exemplars, modal_labels

CLEAN = "clean"


class Predictions(NamedTuple):
    """Labels predicted by the networks of one sparsity.

    Attributes:
        sparsity: share of pruned weights, 0 for the dense networks.
        labels: by version of the images, `CLEAN` or a corruption's name: int [M, N], of M networks.
    """

    sparsity: float
    labels: dict[str, np.ndarray]


def mean_accuracies(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Accuracy of each class, mean over the networks: int [M, N] and int [N] -> float64 [C]."""
    return np.mean([class_accuracies(one, labels, num_classes) for one in predicted], axis=0)


def summarize_level(one: Predictions, labels: np.ndarray, groups: Groups) -> dict:
    """Accuracies at one sparsity, from labels int [N]: clean by group and class, corrupted by group."""
    num_classes = sum(map(len, groups))
    figures = {"sparsity": one.sparsity, "networks": len(one.labels[CLEAN])}
    for version, predicted in one.labels.items():
        classes = mean_accuracies(predicted, labels, num_classes)
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
        by_group[name] = {
            "exemplars": _mean(member[is_exemplar]),
            "images": float(member.mean()),
            "rate": _mean(is_exemplar[member]),
        }
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
