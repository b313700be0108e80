"""What pruning makes a segmentation network forget, from the labels before and after."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from trainlib.analysis.pruning_sweep import modal_labels
from vmnet_jax.learn.metrics import accuracy, confusion, iou_from_confusion


class Forgotten(NamedTuple):
    """Labels by the networks of one sparsity: its share of pruned weights, and int [M, V] of M networks."""

    sparsity: float
    labels: np.ndarray


def figures(predicted: np.ndarray, truth: np.ndarray, num_classes: int) -> dict:
    """Mean IoU, accuracy and recall by class (None for a class without a vertex) of labels int [V]."""
    table = confusion(predicted, truth, num_classes)
    right, present = np.diag(table), table.sum(0)
    recall = [float(r / n) if n else None for r, n in zip(right, present)]
    return {"mean_iou": iou_from_confusion(table)[1], "accuracy": accuracy(table), "recall": recall}


def summarize_level(dense: np.ndarray, level: Forgotten, truth: np.ndarray, num_classes: int) -> dict:
    """The figures of one sparsity, from the labels `dense` and `truth`, int [V].

    Returns:
        `sparsity`, `networks`; `figures` of the labels by magnitude alone, which come first; `exemplars`, the share of
        the labelled vertices whose modal label is not the dense one; `forgotten`, the share of them that the dense
        network labels rightly and the modal label does not; `gained`, the opposite; and by class `forgotten_by_class`,
        the class's share among the forgotten (None where there is none), and `rates`, which part of its vertices that
        the dense network labelled rightly are forgotten (None where there is none).
    """
    labelled, modal = truth >= 0, modal_labels(level.labels, num_classes)
    was_right, is_right = (labelled & (labels == truth) for labels in (dense, modal))
    lost = np.bincount(truth[was_right & ~is_right], minlength=num_classes)
    right, total = np.bincount(truth[was_right], minlength=num_classes), labelled.sum()
    return {
        "sparsity": level.sparsity,
        "networks": len(level.labels),
        "figures": figures(level.labels[0], truth, num_classes),
        "exemplars": float((labelled & (modal != dense)).sum() / total),
        "forgotten": float(lost.sum() / total),
        "gained": float((~was_right & is_right).sum() / total),
        "forgotten_by_class": [float(n / lost.sum()) if lost.any() else None for n in lost],
        "rates": [float(n / of) if of else None for n, of in zip(lost, right)],
    }


def make_report(dense: np.ndarray, levels: list[Forgotten], truth: np.ndarray, names: tuple[str, ...]) -> dict:
    """The report: `classes`, the share of the labelled `vertices` by class, `dense`, and by `summarize_level` `levels`.

    Args:
        dense: int [V], labels by the dense network.
        levels: of each sparsity.
        truth: int [V], -1 unlabelled; at least one vertex is labelled.
        names: of the K classes.
    """
    counts = np.bincount(truth[truth >= 0], minlength=len(names))
    return {
        "classes": list(names),
        "vertices": int(counts.sum()),
        "frequency": (counts / counts.sum()).tolist(),
        "dense": figures(dense, truth, len(names)),
        "levels": [summarize_level(dense, level, truth, len(names)) for level in levels],
    }


def as_lines(report: Mapping) -> list[str]:
    """The report for the terminal, in %: a line for each sparsity, then one for each class."""
    lines = ["          by magnitude        over the masks"]
    lines.append("  pruned  mean IoU  accuracy  exemplars  forgotten  gained")
    lines.append(f"{0:8}  {100 * report['dense']['mean_iou']:8.1f}  {100 * report['dense']['accuracy']:8.1f}")
    for level in report["levels"]:
        iou, right = 100 * level["figures"]["mean_iou"], 100 * level["figures"]["accuracy"]
        shares = (100 * level[name] for name in ("exemplars", "forgotten", "gained"))
        lines.append(
            f"{100 * level['sparsity']:8.3g}  {iou:8.1f}  {right:8.1f}" + "  {:9.1f}  {:9.1f}  {:6.1f}".format(*shares)
        )
    width = max(map(len, report["classes"]))
    header = "".join(f"{100 * level['sparsity']:7.3g}" for level in report["levels"])
    lines.append(f"{'share of rightly labelled vertices forgotten at':{width + 12}}{header}")
    for k in np.argsort(report["frequency"])[::-1]:
        rates = [level["rates"][k] for level in report["levels"]]
        cells = "".join("     --" if rate is None else f"{100 * rate:7.1f}" for rate in rates)
        lines.append(f"{report['classes'][k]:{width}} ({100 * report['frequency'][k]:4.1f} %)  {cells}")
    return lines
