"""A prediction as files that other programs and people read."""

import pathlib
from typing import NamedTuple

import numpy as np

from preprocess.labels import LabelMap, write_labels_ply
from preprocess.mesh import Mesh
from preprocess.units import to_file_frame
from vmnet_jax.page import write_page
from vmnet_jax.picture import write_picture

UNLABELLED = (90, 90, 90)
RIGHT, WRONG = (200, 200, 200), (210, 40, 40)


class Prediction(NamedTuple):
    """What the network says of one mesh, in the order of its vertices."""

    classes: np.ndarray  # int32 [V], index into the label map
    probability: np.ndarray  # float32 [V], of that class
    scores: np.ndarray  # float32 [V, K], summed logits


def write_prediction(
    stem: pathlib.Path, mesh: Mesh, prediction: Prediction, label_map: LabelMap, units: str = "m", up: str = "z"
) -> None:
    """Writes STEM.ply, STEM.labels.ply, STEM.html and STEM.png; the folder is made if missing.

    The two PLY files have the vertices of the mesh's file, in its order, in its units and with its up axis. STEM.ply is
    coloured by class and has the properties `label` (the label map's id) and `probability`. Page and picture show
    ground truth and errors too where the mesh has labels.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    layers = prediction_layers(mesh, prediction, label_map)
    ids = np.asarray(label_map.ids, np.uint16)[prediction.classes]
    places = to_file_frame(mesh.vertices, units, up)
    coloured, labels, page, picture = (stem.with_name(stem.name + e) for e in (".ply", ".labels.ply", ".html", ".png"))
    write_labels_ply(coloured, places, mesh.faces, ids, layers["prediction"], prediction.probability)
    write_labels_ply(labels, places, mesh.faces, ids)
    legend = class_legend(mesh, prediction, label_map)
    write_page(page, stem.name, mesh.vertices, mesh.faces, layers, legend)
    write_picture(picture, mesh.vertices, mesh.faces, layers, legend)


def prediction_layers(mesh: Mesh, prediction: Prediction, label_map: LabelMap) -> dict[str, np.ndarray]:
    """Name -> uint8 [V, 3]: input colour, prediction, ground truth, errors and confidence, as far as there are."""
    palette = np.asarray(label_map.colors, np.uint8)
    layers = {} if mesh.colors is None else {"input colour": mesh.colors}
    layers["prediction"] = palette[prediction.classes]
    if mesh.labels is not None:
        truth, _ = label_map.to_classes(mesh.labels)
        labelled = (truth >= 0)[:, None]
        wrong = (truth != prediction.classes)[:, None]
        layers["ground truth"] = np.where(labelled, palette[truth], UNLABELLED).astype(np.uint8)
        layers["errors"] = np.where(labelled, np.where(wrong, WRONG, RIGHT), UNLABELLED).astype(np.uint8)
    layers["confidence"] = confidence_colors(prediction.probability)
    return layers


def confidence_colors(probability: np.ndarray) -> np.ndarray:
    """uint8 [V, 3] of probabilities [V]: from red at 0 over yellow at one half to green at 1."""
    p = np.clip(probability, 0, 1)[:, None]
    red, yellow, green = np.array([[200, 30, 30], [240, 220, 70], [40, 160, 70]], np.float64)
    low, high = red + 2 * p * (yellow - red), yellow + (2 * p - 1) * (green - yellow)
    return np.round(np.where(p < 0.5, low, high)).astype(np.uint8)


def class_legend(mesh: Mesh, prediction: Prediction, label_map: LabelMap) -> list[tuple[str, tuple, int]]:
    """(name, colour, vertices predicted) of the classes that are predicted or true, the most frequent first."""
    size = len(label_map.names)
    counts = np.bincount(prediction.classes, minlength=size)
    true = np.zeros(size, np.int64)
    legend_end = []
    if mesh.labels is not None:
        truth, _ = label_map.to_classes(mesh.labels)
        true = np.bincount(truth[truth >= 0], minlength=size)
        legend_end = [("unlabelled", UNLABELLED, int((truth < 0).sum()))] if (truth < 0).any() else []
    found = [k for k in np.argsort(-counts, kind="stable") if counts[k] or true[k]]
    return [(label_map.names[k], tuple(label_map.colors[k]), int(counts[k])) for k in found] + legend_end
