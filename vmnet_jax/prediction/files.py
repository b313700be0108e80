"""A prediction as files that other programs and people read."""

import pathlib
from typing import NamedTuple

import numpy as np

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
from trainlib.core.files import atomic_file
from vmnet_jax.viewer.html_page import write_page
from vmnet_jax.viewer.legend import class_legend, layer_keys, prediction_layers
from vmnet_jax.viewer.raster import write_picture


class Prediction(NamedTuple):
    """The network's prediction for one mesh, in the order of its vertices."""

    classes: np.ndarray  # int32 [V], index into the label map
    probability: np.ndarray  # float32 [V], of that class
    scores: np.ndarray  # float32 [V, K], summed logits
    votes: int = 1  # how many were summed

    @classmethod
    def of(cls, scores: np.ndarray, votes: int = 1) -> "Prediction":
        """The prediction from summed logits float32 [V, K]."""
        return cls(scores.argmax(1).astype(np.int32), class_probabilities(scores, votes).max(1), scores, votes)

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
    *,
    units: str = "m",
    up: str = "z",
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
    layers = prediction_layers(mesh, prediction.classes, prediction.probability, label_map)
    elements = mesh_elements(mesh, units, up) if source is None else file_elements(source)
    if elements["vertex"][0].rows != len(mesh.vertices):
        raise MeshError(str(source), "the file has changed while it was predicted", "Predict it again.")
    ids = {"label": np.asarray(label_map.ids, np.uint16)[prediction.classes]}
    columns = {**color_columns(layers["prediction"]), **ids, "probability": prediction.probability}
    write_elements(paths[0], with_vertex_properties(elements, columns))
    write_elements(paths[1], with_vertex_properties(only_places(elements), ids))
    meaning = {"legend": class_legend(mesh, prediction.classes, label_map), "keys": layer_keys(layers)}
    write_page(paths[2], stem.name, mesh.vertices, mesh.faces, layers, **meaning)
    write_picture(paths[3], mesh.vertices, mesh.faces, layers, **meaning)
    if probabilities:
        with atomic_file(paths[4]) as file:
            np.savez(file, probabilities=prediction.probabilities, ids=label_map.ids, names=label_map.names)
    return paths
