"""A prediction as files that other programs and people read."""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps

from preprocess.cli.atomic import atomic_file
from preprocess.formats.writer import (
    color_columns,
    file_elements,
    mesh_elements,
    only_places,
    with_vertex_properties,
    write_elements,
)
from preprocess.labels.label_map import LabelMap
from preprocess.mesh.mesh import Mesh, MeshError
from vmnet_jax.viewer.html_page import write_page
from vmnet_jax.viewer.raster import write_picture

UNLABELLED = (90, 90, 90)
RIGHT, WRONG = (200, 200, 200), (210, 40, 40)


class Prediction(NamedTuple):
    """What the network says of one mesh, in the order of its vertices."""

    classes: np.ndarray  # int32 [V], index into the label map
    probability: np.ndarray  # float32 [V], of that class
    scores: np.ndarray  # float32 [V, K], summed logits
    votes: int = 1  # how many were summed

    @property
    def probabilities(self) -> np.ndarray:
        """float32 [V, K], of every class; rows sum to 1."""
        return class_probabilities(self.scores, self.votes)


def class_probabilities(scores: np.ndarray, votes: int) -> np.ndarray:
    """Softmax of the mean of the votes: summed logits float32 [V, K] -> float32 [V, K]."""
    odds = scores / np.float32(votes)
    odds -= odds.max(axis=1, keepdims=True)
    np.exp(odds, out=odds)
    odds /= odds.sum(axis=1, keepdims=True)
    return odds


def write_prediction(
    stem: str | pathlib.Path,
    mesh: Mesh,
    prediction: Prediction,
    label_map: LabelMap,
    units: str = "m",
    up: str = "z",
    *,
    source: str | pathlib.Path | None = None,
    probabilities: bool = False,
) -> list[pathlib.Path]:
    """Writes STEM.ply, STEM.labels.ply, STEM.html and STEM.png and returns their paths; the folder is made if missing.

    The two PLY files have the vertices, in their order, the coordinates and the polygons of the mesh's file. STEM.ply
    has all its other properties too, is coloured by class, and has the properties `label` (the label map's id) and
    `probability`; what had one of these names is called `input_...`. Page and picture show ground truth and errors too
    where the mesh has labels.

    Args:
      units, up: of the file; used where there is none.
      source: the mesh's file; without it the PLY files have the mesh's own vertices, colours and faces.
      probabilities: write STEM.probabilities.npz as well.

    Raises:
      MeshError: the file has other vertices than the mesh: it has changed since it was read.
    """
    stem = pathlib.Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    endings = [".ply", ".labels.ply", ".html", ".png", *([".probabilities.npz"] if probabilities else [])]
    paths = [stem.with_name(stem.name + ending) for ending in endings]
    layers, legend = prediction_layers(mesh, prediction, label_map), class_legend(mesh, prediction, label_map)
    elements = mesh_elements(mesh, units, up) if source is None else file_elements(source)
    if elements["vertex"][0].rows != len(mesh.vertices):
        raise MeshError(str(source), "the file has changed while it was predicted", "Predict it again.")
    ids = np.asarray(label_map.ids, np.uint16)[prediction.classes]
    colors = color_columns(layers["prediction"])
    of_class = {"label": ids, "probability": prediction.probability}
    write_elements(paths[0], with_vertex_properties(elements, {**colors, **of_class}))
    write_elements(paths[1], with_vertex_properties(only_places(elements), {"label": ids}))
    keys = layer_keys(layers)
    write_page(paths[2], stem.name, mesh.vertices, mesh.faces, layers, legend, keys)
    write_picture(paths[3], mesh.vertices, mesh.faces, layers, legend, keys)
    if probabilities:
        with atomic_file(paths[4]) as file:
            np.savez(file, probabilities=prediction.probabilities, ids=label_map.ids, names=label_map.names)
    return paths


def prediction_layers(mesh: Mesh, prediction: Prediction, label_map: LabelMap) -> dict[str, np.ndarray]:
    """Name -> uint8 [V, 3]: input colour, prediction, ground truth, errors and confidence, as far as there are."""
    palette = np.asarray(label_map.colors, np.uint8)
    layers = {} if mesh.colors is None else {"input colour": mesh.colors}
    layers["prediction"] = palette[prediction.classes]
    truth = _truth(mesh, label_map)
    if truth is not None:
        labelled = (truth >= 0)[:, None]
        wrong = (truth != prediction.classes)[:, None]
        layers["ground truth"] = np.where(labelled, palette[truth], UNLABELLED).astype(np.uint8)
        layers["errors"] = np.where(labelled, np.where(wrong, WRONG, RIGHT), UNLABELLED).astype(np.uint8)
    layers["confidence"] = confidence_colors(prediction.probability)
    return layers


def layer_keys(layers: Mapping[str, np.ndarray]) -> dict[str, list[tuple[str, tuple[int, int, int]]]]:
    """(meaning, colour) of what is seen in the layers whose colours are not those of classes."""
    errors = [("right", RIGHT), ("wrong", WRONG), ("unlabelled", UNLABELLED)]
    shares = np.linspace(0, 1, 5)
    confidence = [(f"{100 * p:.0f} %", tuple(c.tolist())) for p, c in zip(shares, confidence_colors(shares))]
    keys = {"errors": errors, "confidence": confidence}
    return {name: keys[name] for name in layers if name in keys}


def confidence_colors(probability: np.ndarray) -> np.ndarray:
    """uint8 [V, 3] of probabilities [V]: dark blue at 0 to yellow at 1 (cividis: read by any colour vision)."""
    return colormaps["cividis"](np.clip(probability, 0, 1), bytes=True)[:, :3]


def class_legend(mesh: Mesh, prediction: Prediction, label_map: LabelMap) -> list[tuple[str, tuple, int]]:
    """(name, colour, vertices predicted) of the classes that are predicted or true, the most frequent first."""
    size = len(label_map.names)
    counts = np.bincount(prediction.classes, minlength=size)
    true = np.zeros(size, np.int64)
    legend_end = []
    truth = _truth(mesh, label_map)
    if truth is not None:
        true = np.bincount(truth[truth >= 0], minlength=size)
        legend_end = [("unlabelled", UNLABELLED, int((truth < 0).sum()))] if (truth < 0).any() else []
    found = [k for k in np.argsort(-counts, kind="stable") if counts[k] or true[k]]
    return [(label_map.names[k], tuple(label_map.colors[k]), int(counts[k])) for k in found] + legend_end


def _truth(mesh: Mesh, label_map: LabelMap) -> np.ndarray | None:
    """Classes int32 [V] of the mesh's labels, -1 unlabelled; None without any label of the map."""
    if mesh.labels is None:
        return None
    truth, _ = label_map.to_classes(mesh.labels)
    return truth if (truth >= 0).any() else None
