"""Small meshes and the PLY files that hold them, written by plyfile."""

import numpy as np
import plyfile
import pytest
import trimesh

from preprocess.mesh.mesh import Mesh
from preprocess.mesh.normals import vertex_normals


def bumpy_sphere(subdivisions: int = 4, radius: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """vertices float64 [V, 3], exact in float32, and faces int32 [F, 3] of a closed surface in general position."""
    ball = trimesh.creation.icosphere(subdivisions)
    unit = np.asarray(ball.vertices)
    bumps = 1 + 0.1 * np.sin(5 * unit[:, 0]) * np.cos(4 * unit[:, 1] + 1)
    return (radius * bumps[:, None] * unit).astype(np.float32).astype(np.float64), np.asarray(ball.faces, np.int32)


def octant_labels(vertices: np.ndarray) -> np.ndarray:
    """NYU40 ids 1 to 8, by the signs of the coordinates."""
    return 1 + (vertices > 0) @ np.array([4, 2, 1])


@pytest.fixture(scope="session")
def make_sphere():
    return bumpy_sphere


@pytest.fixture(scope="session")
def sphere() -> tuple[np.ndarray, np.ndarray]:
    return bumpy_sphere()


@pytest.fixture(scope="session")
def make_mesh():
    """make_mesh(vertices, faces, labels=None) -> Mesh with colours from the positions."""

    def make(vertices, faces, labels=None) -> Mesh:
        colors = np.clip(128 + 200 * vertices, 0, 255).astype(np.uint8)
        return Mesh(vertices, faces, colors, vertex_normals(vertices, faces), labels)

    return make


@pytest.fixture(scope="session")
def write_ply():
    """write_ply(path, vertices, faces, labels=None, colors=None, text=False, order="<"): faces [F, 3] or a list."""

    def write(path, vertices, faces, labels=None, colors=None, text=False, order="<", number="f4"):
        columns = [(name, number, vertices[:, k]) for k, name in enumerate("xyz")]
        if colors is not None:
            columns += [(name, colors.dtype.str[1:], colors[:, k]) for k, name in enumerate(("red", "green", "blue"))]
        if labels is not None:
            columns.append(("label", "u2", labels))
        rows = np.empty(len(vertices), [(name, type_) for name, type_, _ in columns])
        for name, _, values in columns:
            rows[name] = values
        polygons = np.empty(len(faces), [("vertex_indices", "O")])
        polygons["vertex_indices"] = [np.asarray(face, np.int32) for face in faces]
        elements = [plyfile.PlyElement.describe(rows, "vertex"), plyfile.PlyElement.describe(polygons, "face")]
        plyfile.PlyData(elements, text=text, byte_order="=" if text else order).write(path)
        return path

    return write


@pytest.fixture(scope="session")
def octants():
    return octant_labels
