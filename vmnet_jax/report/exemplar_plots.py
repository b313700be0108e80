"""What pruning makes a segmentation network forget, to look at: a chart by class and a page for each scene."""

import pathlib

import numpy as np

from preprocess.labels.label_map import LabelMap
from preprocess.scene.scene_file import Scene
from trainlib.analysis.plots import COLORS, DASHES, SOFT, new_figure, save_figure, style_axes
from vmnet_jax.report.scene_views import as_mesh
from vmnet_jax.viewer.html_page import write_page
from vmnet_jax.viewer.layers import UNLABELLED

# Grey where nothing changed, one colour for each way in which it did.
KEPT, STILL_WRONG = (205, 205, 205), (120, 120, 120)
LOST, WON, OTHER = (210, 40, 40), (40, 110, 200), (230, 160, 30)
KINDS = [("right before and after", KEPT), ("forgotten: right before, wrong after", LOST)]
KINDS += [("wrong before, right after", WON), ("wrong in another way", OTHER)]
KINDS += [("the same wrong label", STILL_WRONG), ("unlabelled", UNLABELLED)]


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
        look = {"color": COLORS[place % len(COLORS)], "label": f"{100 * level['sparsity']:g} % pruned"}
        of_class = [100 * (level["forgotten_by_class"][k] or 0) for k in order]
        shares.bar(x + (1 + place) * width, of_class, width, align="edge", **look)
        part = [np.nan if level["rates"][k] is None else 100 * level["rates"][k] for k in order]
        rates.plot(x, part, marker="o", linewidth=0.8, linestyle=DASHES[place // len(COLORS) % len(DASHES)], **look)
    shares.set_xticks(x + 0.4, names, rotation=90)
    rates.set_xticks(x, names, rotation=90)
    rates.set_ylim(0, 100)
    handles, labels = shares.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=6, fontsize=9, frameon=False)
    save_figure(figure, path)


def change_colors(dense: np.ndarray, pruned: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """uint8 [V, 3] of labels int [V] before and after: the colours of `KINDS`; truth is -1 where unlabelled."""
    conditions = [truth < 0, (dense == truth) & (pruned == truth), dense == truth, pruned == truth, dense != pruned]
    colors = (UNLABELLED, KEPT, LOST, WON, OTHER)
    return np.select([c[:, None] for c in conditions], colors, STILL_WRONG).astype(np.uint8)


def write_scene_page(
    path: pathlib.Path,
    name: str,
    scene: Scene,
    dense: np.ndarray,
    pruned: np.ndarray,
    sparsity: float,
    label_map: LabelMap,
) -> None:
    """Writes the page of a scene with faces.

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
    title = f"{name}: {100 * lost:.1f} % of the labelled vertices forgotten with {after}"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_page(path, title, mesh.vertices, mesh.faces, layers, legend=legend, keys={changed: KINDS})
