"""What pruning makes a segmentation network forget, from the labels before and after.

The report as a dict and as lines, a chart by class, and a page for each scene.
"""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from preprocess.labels.label_map import LabelMap
from preprocess.scene.scene_file import Scene
from trainlib.analysis.plots import SOFT, legend_below, line_style, new_figure, save_figure, style_axes
from trainlib.analysis.pruning_sweep import modal_labels
from vmnet_jax.learn.metrics import accuracy, confusion, iou_from_confusion
from vmnet_jax.report.scene_views import as_mesh
from vmnet_jax.viewer.html_page import write_page
from vmnet_jax.viewer.legend import UNLABELLED

# Grey where nothing changed, one colour for each way in which it did.
KEPT, STILL_WRONG = (205, 205, 205), (120, 120, 120)
LOST, WON, OTHER = (210, 40, 40), (40, 110, 200), (230, 160, 30)
KINDS = [("right before and after", KEPT), ("forgotten: right before, wrong after", LOST)]
KINDS += [("wrong before, right after", WON), ("wrong in another way", OTHER)]
KINDS += [("the same wrong label", STILL_WRONG), ("unlabelled", UNLABELLED)]


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


def draw_by_class(path: pathlib.Path, report: dict) -> None:
    """Writes the chart: by class, the most frequent first, its shares of all and of the forgotten vertices, and rates.

    A rate is the part of a class's rightly labelled vertices that is forgotten at a sparsity.
    """
    order = [k for k in np.argsort(report["frequency"])[::-1] if report["frequency"][k]]
    x, names = np.arange(len(order)), [report["classes"][k] for k in order]
    title = f"What pruning makes the network mislabel, of {report['vertices']:,} labelled vertices"
    figure = new_figure(max(9.0, 2.5 + 0.45 * len(order) * 2), 5.2, title)
    shares, rates = figure.subplots(1, 2)
    style_axes(shares, "Share of a class among all vertices and among the forgotten", y="vertices (%)")
    width = 0.8 / (1 + len(report["levels"]))
    frequency = [100 * report["frequency"][k] for k in order]
    shares.bar(x, frequency, width, label="all labelled vertices", color=SOFT, align="edge")
    style_axes(rates, "Forgotten of the vertices labelled rightly", y="vertices (%)")
    for place, level in enumerate(report["levels"]):
        look, label = line_style(place), f"{100 * level['sparsity']:g} % pruned"
        of_class = [100 * (level["forgotten_by_class"][k] or 0) for k in order]
        shares.bar(x + (1 + place) * width, of_class, width, align="edge", color=look["color"], label=label)
        part = [np.nan if level["rates"][k] is None else 100 * level["rates"][k] for k in order]
        rates.plot(x, part, marker="o", linewidth=0.8, label=label, **look)
    shares.set_xticks(x + 0.4, names, rotation=90)
    rates.set_xticks(x, names, rotation=90)
    rates.set_ylim(0, 100)
    legend_below(figure, shares, columns=6)
    save_figure(figure, path)


def change_colors(dense: np.ndarray, pruned: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """uint8 [V, 3] of labels int [V] before and after: the colours of `KINDS`; truth is -1 where unlabelled."""
    conditions = [truth < 0, (dense == truth) & (pruned == truth), dense == truth, pruned == truth, dense != pruned]
    colors = (UNLABELLED, KEPT, LOST, WON, OTHER)
    return np.select([c[:, None] for c in conditions], colors, STILL_WRONG).astype(np.uint8)


def write_scene_page(
    path: pathlib.Path, scene: Scene, dense: np.ndarray, pruned: np.ndarray, *, sparsity: float, label_map: LabelMap
) -> None:
    """Writes the page of a scene with faces, which is named as the file.

    `dense` and `pruned` are labels int [V]. Layers: the forgotten, input colour, dense, pruned and ground truth.
    """
    if not len(scene.faces):
        return
    mesh, palette = as_mesh(scene, label_map), np.asarray(label_map.colors, np.uint8)
    changed = "forgotten"
    after = f"{100 * sparsity:g} % pruned"
    layers = {} if mesh.colors is None else {"input colour": mesh.colors}
    layers[changed] = change_colors(dense, pruned, scene.labels)
    layers |= {"dense": palette[dense], after: palette[pruned]}
    truth = np.where((scene.labels >= 0)[:, None], palette[scene.labels], UNLABELLED).astype(np.uint8)
    layers["ground truth"] = truth
    labelled = scene.labels >= 0
    counts = np.bincount(scene.labels[labelled], minlength=len(palette))
    legend = [(label_map.names[k], tuple(label_map.colors[k]), int(counts[k])) for k in np.argsort(-counts)]
    lost = (labelled & (dense == scene.labels) & (pruned != scene.labels)).sum() / max(labelled.sum(), 1)
    title = f"{scene.name}: {100 * lost:.1f} % of the labelled vertices forgotten with {after}"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_page(path, title, mesh.vertices, mesh.faces, layers, legend=legend, keys={changed: KINDS})
