"""The mesh files of a prediction that is given, on a sheet of `meshes`."""

import pathlib

import numpy as np

from preprocess.formats.readers import read_mesh
from preprocess.labels.label_map import read_label_map
from tests.golden.meshes import LABEL_MAP, height_field, ply_text
from vmnet_jax.prediction.files import Prediction, write_prediction

NAMES = ("predicted.ply", "predicted.labels.ply")


def collect(folder: pathlib.Path) -> dict[str, bytes]:
    """{file name: content} of NAMES, with a text PLY file as the source, and of the same without a source."""
    source, label_map = folder / "sheet.ply", folder / "label_map.csv"
    source.write_text(ply_text(height_field(0)))
    label_map.write_text(LABEL_MAP)
    mesh = read_mesh(source)
    vertices = np.arange(len(mesh.vertices))
    scores = np.stack([vertices * factor % 17 for factor in (3, 5, 7)], 1).astype(np.float32)
    prediction = Prediction(scores.argmax(1).astype(np.int32), (vertices % 9 / 8).astype(np.float32), scores)
    found = {}
    for kind, given in (("sourced", source), ("bare", None)):
        write_prediction(folder / kind / "predicted", mesh, prediction, read_label_map(label_map), source=given)
        found |= {f"{kind}/{name}": (folder / kind / name).read_bytes() for name in NAMES}
    return found
