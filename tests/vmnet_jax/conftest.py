"""Small labelled scenes on disk and in memory, for all tests of the network's inputs and mains."""

import numpy as np
import pytest

from preprocess.labels.label_map import LabelMap, write_label_map
from preprocess.mesh.mesh import Mesh
from preprocess.mesh.normals import vertex_normals
from preprocess.scene.build import build_scene
from preprocess.scene.params import HierarchyParams
from preprocess.scene.scene_file import write_scene

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
