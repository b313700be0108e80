"""The triangle mesh that edge collapses work on.

A vertex keeps its fan: for each of its faces (v, a, b) the two others as one number, a * 2^32 + b. Fans lie in blocks
of 64 bytes, so that one look at memory brings all faces around a vertex, and the looks at what they name do not wait
for one another. The kernels take the arrays one by one: Numba's cache of a kernel that takes a class cannot be read
once the class has moved.
"""

from typing import NamedTuple

import numpy as np

from kernels.host.jit import borrowed, compiled
from kernels.host.memory import empty_together
from kernels.host.simplify import quadrics as quadric

BLOCK = 8
"""Corners in a block."""

LOW = 0x7FFFFFFF
"""Mask of the second vertex in a corner."""


class Surface(NamedTuple):
    """A mesh under collapse; the arrays are changed in place.

    Attributes:
      points: float64[V, 4] position, and the value of the vertex's own quadric there.
      quadrics: float64[V, 10] see `kernels.host.simplify.quadrics`.
      fans: int64[B * BLOCK] the corners (a, b) of the faces (v, a, b) of each vertex, in any order.
      spans: int32[V + 1, 4] first block, number of blocks, number of corners of each vertex, and whether its neighbours
        all are among the first vertices of its corners (1) or only among both (2); the last row holds the first block
        that was never given out.
      parent: int32[V] the vertex that each one went into; itself while it lives.
    """

    points: np.ndarray
    quadrics: np.ndarray
    fans: np.ndarray
    spans: np.ndarray
    parent: np.ndarray


def new_surface(positions: np.ndarray, triangles: np.ndarray) -> Surface:
    """Surface of float64[V, 3] positions and int32[F, 3] faces without degenerate or repeated ones."""
    num_vertices, num_faces = len(positions), len(triangles)
    # Room for all fans packed together, each with a block that is not full, and for the longest that two can give.
    room = BLOCK * (num_vertices + 3 * num_faces // 4 + 3)
    surface = Surface(
        *empty_together(
            ((num_vertices, 4), np.float64),
            ((num_vertices, 10), np.float64),
            (room, np.int64),
            ((num_vertices + 1, 4), np.int32),
            (num_vertices, np.int32),
        )
    )
    points, quadrics, fans, spans, parent = surface
    points[:, :3] = positions
    quadrics[:] = 0
    spans[:] = 0
    parent[:] = np.arange(num_vertices, dtype=np.int32)
    _fill(triangles, fans, spans)
    _add_quadrics(points, quadrics, triangles, fans, spans)
    return surface


@compiled
def count_faces(spans):
    """Number of faces as they are now."""
    corners = 0
    for v in range(spans.shape[0] - 1):
        corners += spans[v, 2]
    return corners // 3


@compiled
def faces_of(fans, spans):
    """int32[G, 3] faces as they are now, each starting with its lowest vertex."""
    faces = np.empty((count_faces(spans), 3), np.int32)
    count = 0
    for v in range(spans.shape[0] - 1):
        first = BLOCK * np.int64(spans[v, 0])
        for i in range(first, first + spans[v, 2]):
            a, b = fans[i] >> 32, fans[i] & LOW
            if v < a and v < b:
                faces[count, 0], faces[count, 1], faces[count, 2] = v, a, b
                count += 1
    return faces


@compiled(inline="always")
def pack(a, b):
    """Corner of two vertices."""
    return (np.int64(a) << 32) | np.int64(b)


@compiled(inline="always")
def vertex(corner, side):
    """The first (0) or the second (1) vertex of a corner."""
    return (corner >> (32 - 32 * side)) & LOW


@compiled(inline="always")
def drop(fans, spans, v, corner):
    """Takes a corner out of v's fan."""
    i = _find(fans, spans, v, corner)
    spans[v, 2] -= 1
    fans[i] = fans[BLOCK * np.int64(spans[v, 0]) + spans[v, 2]]


@compiled(inline="always")
def rename(fans, spans, v, corner, other):
    """Puts another corner in the place of one in v's fan."""
    fans[_find(fans, spans, v, corner)] = other


@compiled(inline="always")
def _find(fans, spans, v, corner):
    """Where v's fan has a corner that it does have: without a branch inside a block, which would be guessed wrong."""
    i = BLOCK * np.int64(spans[v, 0])
    while fans[i] != corner:
        i += 1
    return i


@compiled
def repack(fans, spans):
    """Moves all fans to the beginning, in the order of the vertices."""
    old = fans.copy()
    block = 0
    for v in range(spans.shape[0] - 1):
        first = BLOCK * np.int64(spans[v, 0])
        size = spans[v, 2]
        spans[v, 0] = block
        spans[v, 1] = (size + BLOCK - 1) // BLOCK
        for i in range(size):
            fans[BLOCK * block + i] = old[first + i]
        block += spans[v, 1]
    spans[-1, 0] = block


@compiled
def new_marks(num_vertices):
    """int64[V + 1]: the stamp of the last visit of each vertex; the last entry is the latest stamp given out."""
    return np.zeros(num_vertices + 1, np.int64)


@compiled(inline="always")
def next_stamp(mark):
    """A stamp that no vertex bears."""
    mark[-1] += 1
    return mark[-1]


@compiled(error_model="numpy", inline="always")
def gather(fans, spans, mark, stamp, v, ring, count):
    """Appends the vertices of v's fan that do not bear the stamp to the ring, and stamps them; gives the new count."""
    first = BLOCK * np.int64(spans[v, 0])
    for side in range(spans[v, 3]):
        for i in range(first, first + spans[v, 2]):
            w = vertex(fans[i], side)
            ring[count] = w
            count += mark[w] != stamp
            mark[w] = stamp
    return count


@compiled
def _fill(triangles, fans, spans):
    for f in range(triangles.shape[0]):
        for k in range(3):
            spans[triangles[f, k], 1] += 1
    block = 0
    for v in range(spans.shape[0] - 1):
        spans[v, 0] = block
        spans[v, 1] = (spans[v, 1] + BLOCK - 1) // BLOCK
        block += spans[v, 1]
    spans[-1, 0] = block
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        _append(fans, spans, a, pack(b, c))
        _append(fans, spans, b, pack(c, a))
        _append(fans, spans, c, pack(a, b))
    for v in range(spans.shape[0] - 1):
        spans[v, 3] = 1 if _is_closed(fans, spans, v) else 2


@compiled(inline="always")
def _append(fans, spans, v, corner):
    fans[BLOCK * np.int64(spans[v, 0]) + spans[v, 2]] = corner
    spans[v, 2] += 1


@compiled(error_model="numpy")
def _add_quadrics(points, quadrics, triangles, fans, spans):
    points, quadrics, triangles = borrowed(points), borrowed(quadrics), borrowed(triangles)
    fans, spans = borrowed(fans), borrowed(spans)
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        open_ab = spans[a, 3] == 2 and _is_open(fans, spans, a, b)
        open_bc = spans[b, 3] == 2 and _is_open(fans, spans, b, c)
        open_ca = spans[c, 3] == 2 and _is_open(fans, spans, c, a)
        quadric.add_face(quadrics, points, a, b, c, open_ab, open_bc, open_ca)
    for v in range(points.shape[0]):
        points[v, 3] = quadric.evaluate(quadric.load(quadrics, v), points[v, 0], points[v, 1], points[v, 2])


@compiled(inline="always")
def _is_closed(fans, spans, v):
    """Whether every neighbour is as often the first vertex of a corner as it is the second.

    That stays so under collapses: with v and u taken for one, a corner (v, u) counts for nothing, so a fan that loses
    it keeps the balance, and so does the fan that two such fans become.
    """
    first = BLOCK * np.int64(spans[v, 0])
    for i in range(first, first + spans[v, 2]):
        a, balance = fans[i] >> 32, 0
        for j in range(first, first + spans[v, 2]):
            balance += (fans[j] >> 32 == a) - (fans[j] & LOW == a)
        if balance != 0:
            return False
    return True


@compiled(inline="always")
def _is_open(fans, spans, v, u):
    """Whether one face alone has the edge (v, u)."""
    if spans[v, 2] > 2 * BLOCK and spans[u, 2] < spans[v, 2]:
        v, u = u, v
    count = 0
    first = BLOCK * np.int64(spans[v, 0])
    for i in range(first, first + spans[v, 2]):
        corner = fans[i]
        count += (corner >> 32 == u) | (corner & LOW == u)
    return count == 1
