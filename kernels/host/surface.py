"""The triangle mesh that edge collapses work on.

The corner of face f at its k-th vertex, k < 3, has the number 4 f + k. The corners at one vertex form a doubly linked
list, so that a face leaves the list of a vertex with very many faces as fast as any other. The kernels take the arrays
one by one: Numba counts the references to arrays inside a tuple at every call, and its cache of a kernel that takes a
class cannot be read once the class has moved.
"""

from typing import NamedTuple

import numpy as np

from kernels.host import quadrics as quadric
from kernels.host.jit import compiled


class Surface(NamedTuple):
    """A mesh under collapse; the arrays are changed in place.

    Attributes:
      points: float64[V, 4] position, and the value of the vertex's own quadric there.
      quadrics: float64[V, 10] see `kernels.host.quadrics`.
      faces: int32[F, 8] three vertices in columns 0 to 2, the corners that follow those of the face in the lists of
        its vertices in columns 4 to 6, -1 at the end of a list. A removed face has -1 in column 0.
      before: int32[4 F] the corner before each corner, -1 at the head of a list.
      head: int32[V] first corner at each vertex, -1 for a vertex without faces.
      parent: int32[V] the vertex that each one went into; itself while it lives.
    """

    points: np.ndarray
    quadrics: np.ndarray
    faces: np.ndarray
    before: np.ndarray
    head: np.ndarray
    parent: np.ndarray


def new_surface(positions: np.ndarray, triangles: np.ndarray) -> Surface:
    """Surface of float64[V, 3] positions and int32[F, 3] faces without degenerate or repeated ones."""
    return Surface(*_new_surface(positions, triangles))


@compiled
def _new_surface(positions, triangles):
    num_vertices, num_faces = positions.shape[0], triangles.shape[0]
    points = np.zeros((num_vertices, 4))
    points[:, :3] = positions
    faces = np.full((num_faces, 8), np.int32(-1))
    before = np.full(4 * num_faces, np.int32(-1))
    head = np.full(num_vertices, np.int32(-1))
    degree = np.zeros(num_vertices, np.int32)
    for f in range(num_faces - 1, -1, -1):
        for k in range(3):
            v = triangles[f, k]
            faces[f, k] = v
            degree[v] += 1
            link(faces, before, head, v, 4 * f + k)
    quadrics = np.zeros((num_vertices, 10))
    for f in range(num_faces):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        open_ab = _is_open(faces, head, degree, a, b)
        open_bc = _is_open(faces, head, degree, b, c)
        open_ca = _is_open(faces, head, degree, c, a)
        quadric.add_face(quadrics, points, a, b, c, open_ab, open_bc, open_ca)
    for v in range(num_vertices):
        points[v, 3] = quadric.evaluate(quadric.load(quadrics, v), points[v, 0], points[v, 1], points[v, 2])
    parent = np.arange(num_vertices).astype(np.int32)
    return points, quadrics, faces, before, head, parent


@compiled
def link(faces, before, head, v, corner):
    """Puts a corner at the head of v's list."""
    first = head[v]
    head[v] = corner
    faces[corner >> 2, 4 + (corner & 3)] = first
    if first >= 0:
        before[first] = corner
    before[corner] = -1


@compiled
def unlink(faces, before, head, v, corner):
    """Takes a corner out of v's list."""
    previous, following = before[corner], faces[corner >> 2, 4 + (corner & 3)]
    if previous >= 0:
        faces[previous >> 2, 4 + (previous & 3)] = following
    if following >= 0:
        before[following] = previous
    head[v] = following if head[v] == corner else head[v]
    before[corner] = -1
    faces[corner >> 2, 4 + (corner & 3)] = -1


@compiled
def new_marks(num_vertices):
    """int64[V + 1]: the stamp of the last visit of each vertex; the last entry is the latest stamp given out."""
    return np.zeros(num_vertices + 1, np.int64)


@compiled
def next_stamp(mark):
    """A stamp that no vertex bears."""
    mark[-1] += 1
    return mark[-1]


@compiled
def _is_open(faces, head, degree, v, u):
    """Whether one face alone has the edge (v, u)."""
    if degree[u] < degree[v]:
        v, u = u, v
    count = 0
    corner = head[v]
    while corner >= 0:
        f = corner >> 2
        if faces[f, 0] == u or faces[f, 1] == u or faces[f, 2] == u:
            count += 1
            if count > 1:
                return False
        corner = faces[f, 4 + (corner & 3)]
    return True
