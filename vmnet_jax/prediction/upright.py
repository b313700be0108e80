"""The up axis of a mesh whose surface is undecided: a trained network scores the six axes."""

import dataclasses
import logging
import pathlib

import numpy as np

from kernels.host.jit import clock
from preprocess.formats.readers import read_mesh
from preprocess.mesh.mesh import Mesh
from preprocess.mesh.units import to_file_frame, to_scene_frame
from preprocess.mesh.up_axis import UP_NOTE, choose_up
from preprocess.mesh.up_estimate import AUTO, UP_AXES, UpEstimate
from preprocess.scene.build import build_scene
from vmnet_jax.prediction.files import class_probabilities

SURE = 0.97
"""Probability of an axis beyond which a network's confidence would not change it."""
MAX_VOXELS = 20_000
"""Voxels around the middle of a mesh that the network looks at."""

_log = logging.getLogger(__name__)


def read_upright(
    predictor, path: pathlib.Path, units: str | None = None, up: str | None = None, repair: bool = False
) -> tuple[Mesh, float]:
    """The mesh in the scene frame, and the seconds that the network looked at it.

    With `up` "auto" the network takes part where the surface leaves the axis open.

    Args:
        predictor: a `vmnet_jax.prediction.predictor.Predictor`.
        path: the mesh's file.
        units, up: of the file; None for those of the training data.
        repair: skip faces that touch NaN or Inf coordinates.
    """
    units, up, looked = units or predictor.run.units, up or predictor.run.up, 0.0
    label_property = predictor.run.params.get("label_property")
    mesh = read_mesh(path, units, up, repair, label_property=label_property)
    if up == AUTO and needs_network(mesh.up_estimate, predictor.run.config.rotation):
        began = clock()
        estimate = with_network(predictor, mesh, mesh.up_estimate)
        looked = clock() - began
        _log.info("%s: the network looked at six up axes in %.1f s", path, looked)
        chosen, note = choose_up(estimate, path.suffix)
        if chosen != mesh.up:
            mesh = read_mesh(path, units, chosen, repair, label_property=label_property)
        mesh.notes = [other for other in mesh.notes if UP_NOTE not in other] + [note]
    return mesh, looked


def needs_network(estimate: UpEstimate, rotation: str) -> bool:
    """Whether a network is asked: the surface is not sure, and the network was trained upright.

    A network whose training placements (`rotation` of the config) had all directions knows no axis.
    """
    return 0 < estimate.sure < SURE and rotation == "z"


def with_network(predictor, mesh: Mesh, estimate: UpEstimate) -> UpEstimate:
    """The estimate with the confidence of a network: one pass over the middle of the mesh for each axis.

    Args:
        predictor: a `vmnet_jax.prediction.predictor.Predictor`.
        mesh: in the scene frame that its own `up` gives.
    """
    part = middle_part(mesh, predictor.run.preprocessing.voxel_size)
    confidence = []
    for up in UP_AXES:
        vertices, normals = (
            to_scene_frame(to_file_frame(a, "none", mesh.up), "none", up) for a in (part.vertices, part.normals)
        )
        turned = dataclasses.replace(part, vertices=vertices, normals=normals)
        scene = build_scene("mesh", turned, predictor.run.preprocessing)
        probabilities = class_probabilities(predictor.predict_scene(scene).scores, 1)
        confidence.append(probabilities.max(axis=1)[scene.voxel_first].mean())
    return estimate.with_confidence(np.array(confidence))


def middle_part(mesh: Mesh, voxel_size: float) -> Mesh:
    """The faces within a cube around the middle vertex that holds at most `MAX_VOXELS` voxels; no labels, no notes."""
    vertices = mesh.vertices
    ordered = np.sort(vertices, axis=0)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    distance = np.abs(vertices - middle).max(axis=1)
    order = np.argsort(distance, kind="stable")
    first = np.unique(np.rint((vertices[order] - middle) / voxel_size), axis=0, return_index=True)[1]
    faces = mesh.faces
    if len(first) > MAX_VOXELS:
        radius = distance[order[np.sort(first)[MAX_VOXELS]]]
        inside = (distance[faces] < radius).all(axis=1)
        faces = faces[inside] if inside.any() else faces
    used, inverse = np.unique(faces, return_inverse=True)
    colors = None if mesh.colors is None else mesh.colors[used]
    return Mesh(vertices[used], inverse.reshape(-1, 3).astype(np.int32), colors, mesh.normals[used], up=mesh.up)
