"""Small labelled scenes on disk and in memory, for all tests of the network's inputs and mains."""

import numpy as np
import pytest

from preprocess.build import build_scene
from preprocess.hierarchy import HierarchyParams
from preprocess.labels import LabelMap, write_label_map
from preprocess.mesh import Mesh, vertex_normals
from preprocess.scene import Scene, write_scene

THREE_CLASSES = LabelMap((3, 7, 9), ("low", "middle", "high"), ((200, 40, 40), (40, 200, 40), (40, 40, 200)))


def bumpy_sheet(seed: int, side: int = 26) -> Mesh:
    """A coloured height field, `side` x `side` vertices about 10 cm apart, labelled by height (3, 7, 9; 0 at a rim)."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(side) * 0.1, np.arange(side) * 0.1, indexing="ij")
    phase = rng.uniform(0, 6, 4)
    z = 0.3 * np.sin(2 * x + phase[0]) + 0.3 * np.cos(1.7 * y + phase[1]) + 0.01 * rng.standard_normal(x.shape)
    xy = np.stack([x, y], -1) + rng.uniform(-0.02, 0.02, (side, side, 2))
    vertices = np.concatenate([xy, z[..., None]], -1).reshape(-1, 3) + rng.uniform(-50, 50, 3)
    row = np.arange(side * side).reshape(side, side)
    a, b, c, d = row[:-1, :-1].ravel(), row[1:, :-1].ravel(), row[1:, 1:].ravel(), row[:-1, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    labels = np.array([3, 7, 9])[np.digitize(z.ravel(), [-0.15, 0.15])].astype(np.int32)
    labels[row[0]] = 0
    colors = np.clip(128 + 300 * z.reshape(-1, 1) + rng.normal(0, 20, (side * side, 3)), 0, 255).astype(np.uint8)
    return Mesh(vertices, faces, colors, vertex_normals(vertices, faces), labels)


@pytest.fixture(scope="session")
def scenes():
    """Six scenes of different sizes, in memory."""
    params = HierarchyParams(cells=(0.12, 0.25), voxel_size=0.1)
    return [build_scene(f"sheet_{i}", bumpy_sheet(i, 22 + 2 * i), params, THREE_CLASSES) for i in range(6)]


@pytest.fixture(scope="session")
def scene_folder(scenes, tmp_path_factory):
    """The same scenes as a preprocessed folder."""
    folder = tmp_path_factory.mktemp("scenes")
    write_label_map(folder / "label_map.csv", THREE_CLASSES)
    for scene in scenes:
        write_scene(folder / f"{scene.name}.scene.npz", scene)
    return folder


def aligned_room(size: tuple[float, float, float], name: str = "room", step: float = 0.04) -> Scene:
    """Floor and four walls along the axes, sides of `size` metres, vertices every `step`; voxels of 2.5 steps.

    As it lies each wall fills one layer of voxels. Nearly every other placement needs more, up to half as many again.
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
    return build_scene(name, mesh, params, THREE_CLASSES)


@pytest.fixture(scope="session")
def make_aligned_room():
    """`aligned_room`."""
    return aligned_room
