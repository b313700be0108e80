"""A part of a scene as its own scene, for training crops and prediction tiles."""

import numpy as np

from preprocess.mesh.mesh import Mesh
from preprocess.scene.build import build_scene
from preprocess.scene.hierarchy import HierarchyParams, level0_labels
from preprocess.scene.scene_file import Scene


def crop_scene(scene: Scene, inside: np.ndarray, name: str = "") -> Scene:
    """The scene of some of the file's vertices, with the faces that have all corners among them.

    Levels, traces, tables and voxels are rebuilt with the scene's parameters. Positions, colours, normals and labels
    are taken from the scene, in its order.

    Args:
        inside: bool [V], at least one of them True.
        name: name of the crop, the scene's if empty.
    """
    place = np.cumsum(inside, dtype=np.int32) - 1
    faces = place[scene.faces[inside[scene.faces].all(axis=1)]]
    params = HierarchyParams.from_dict(scene.params)
    mesh = Mesh(scene.vertices[inside], faces, scene.colors[inside], scene.normals[inside])
    crop = build_scene(name or scene.name, mesh, params, more_params=scene.params)
    crop.has_colors = scene.has_colors
    if scene.labels is not None:
        crop.labels = scene.labels[inside]
        finest, trace = crop.level_vertices[0], crop.traces[0]
        crop.labels_l0 = level0_labels(params.level0_labels, mesh.vertices, crop.labels, finest, trace)
    return crop


def random_crop(scene: Scene, max_voxels: int, rng: np.random.Generator) -> Scene:
    """The part of a scene around one of its vertices, drawn at random, that fills at most `max_voxels` voxels.

    The part is a square in x and y, over the whole height.
    """
    center = scene.vertices[rng.integers(len(scene.vertices))]
    distance = np.abs(scene.vertices[:, :2] - center[:2]).max(axis=1)
    nearest = np.full(len(scene.voxel_first), np.inf)
    np.minimum.at(nearest, scene.voxel_inverse, distance)
    if len(nearest) <= max_voxels:
        return scene
    reach = np.partition(nearest, max_voxels)[max_voxels]
    return crop_scene(scene, (distance < reach) | (distance == 0))
