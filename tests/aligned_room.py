"""A scanned room whose walls lie along the axes, as most do: hardly any other placement needs as few voxels."""

import numpy as np

from preprocess.labels.label_map import LabelMap
from preprocess.mesh.mesh import Mesh
from preprocess.mesh.normals import vertex_normals
from preprocess.scene.build import build_scene
from preprocess.scene.params import HierarchyParams
from preprocess.scene.scene_file import Scene

LOW_AND_HIGH = LabelMap((3, 7), ("low", "high"), ((200, 40, 40), (40, 40, 200)))


def aligned_room(size: tuple[float, float, float], name: str = "room", step: float = 0.04) -> Scene:
    """Floor and four walls along the axes, sides of `size` metres, vertices every `step`; voxels of 2.5 steps.

    As it is, each wall fills one layer of voxels. Nearly every other placement needs more, up to 50 % more.
    """
    x, y, z = size
    vertices, faces, start = [], [], 0
    for origin, u, v in (((0, 0, 0), 0, 1), ((0, 0, 0), 0, 2), ((0, 0, 0), 1, 2), ((x, 0, 0), 1, 2), ((0, y, 0), 0, 2)):
        rows, columns = round(size[u] / step) + 1, round(size[v] / step) + 1
        i, j = (part.ravel() for part in np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"))
        vertices.append(np.array(origin) + step * (np.outer(i, np.eye(3)[u]) + np.outer(j, np.eye(3)[v])))
        at = start + np.arange(rows * columns).reshape(rows, columns)
        a, b, c, d = at[:-1, :-1], at[1:, :-1], at[:-1, 1:], at[1:, 1:]
        faces += [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([c, b, d], -1).reshape(-1, 3)]
        start += rows * columns
    vertices, faces = np.concatenate(vertices), np.concatenate(faces).astype(np.int32)
    vertices += np.random.default_rng(0).normal(0, 0.001, vertices.shape)
    shades = np.clip(255 * vertices / max(size), 0, 255).astype(np.uint8)
    labels = np.array([3, 7])[(vertices[:, 2] > z / 2).astype(int)].astype(np.int32)
    mesh = Mesh(vertices, faces, shades, vertex_normals(vertices, faces), labels)
    params = HierarchyParams(cells=(2.5 * step, 5 * step), voxel_size=2.5 * step)
    return build_scene(name, mesh, params, LOW_AND_HIGH)
