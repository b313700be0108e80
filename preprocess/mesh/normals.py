"""Normals of the vertices of a mesh."""

import numpy as np

from kernels.host.jit import compiled


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted vertex normals.

    Args:
        vertices: float64 [V, 3].
        faces: integer [F, 3], counter-clockwise seen from outside.

    Returns:
        float32 [V, 3] of unit length; zero where the faces around a vertex cancel or where there is none.
    """
    sums = np.zeros(vertices.shape)
    _add_face_areas(np.asarray(vertices, np.float64), np.asarray(faces), sums)
    length = np.sqrt(np.einsum("vc,vc->v", sums, sums))[:, None]
    return np.divide(sums, length, out=np.zeros_like(sums), where=length > 0).astype(np.float32)


@compiled
def _add_face_areas(vertices, faces, sums):
    """Adds twice the area vector of each face to its corners."""
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        for corner in (a, b, c):
            sums[corner, 0] += uy * vz - uz * vy
            sums[corner, 1] += uz * vx - ux * vz
            sums[corner, 2] += ux * vy - uy * vx
