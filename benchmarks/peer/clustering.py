"""Vertex clustering by Open3D."""

import numpy as np
import open3d

from benchmarks.harness.worker import Case, read_exchange

LIBRARIES = ("open3d",)
CELLS = (0.02, 0.04)


def as_mesh(vertices: np.ndarray, faces: np.ndarray) -> open3d.geometry.TriangleMesh:
    """Open3D's mesh of `vertices` float64 [V, 3] and `faces` int32 [F, 3]."""
    return open3d.geometry.TriangleMesh(open3d.utility.Vector3dVector(vertices), open3d.utility.Vector3iVector(faces))


def clustering(data: str) -> Case:
    """The room clustered twice, the second time from the result of the first."""
    mesh = as_mesh(**read_exchange("clustering"))

    def call():
        first = mesh.simplify_vertex_clustering(CELLS[0])
        return [first, first.simplify_vertex_clustering(CELLS[1])]

    def outputs(levels):
        return {f"vertices.{i}": np.asarray(level.vertices) for i, level in enumerate(levels)}

    return Case(call, outputs)
