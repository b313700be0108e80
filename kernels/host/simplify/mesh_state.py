"""The triangle mesh that edge collapses work on.

A vertex keeps its fan: for each of its faces (v, a, b) the two others as one number, a * 2^32 + b. Fans are stored in
blocks of 64 bytes, so that one look at memory brings all faces around a vertex, and the looks at what they name do not
wait for one another.
"""

from typing import NamedTuple

import numpy as np

from kernels.host.jit import borrowed, compiled
from kernels.host.memory import empty_together
from kernels.host.simplify import quadrics as quadric

BLOCK = 8
"""Packed edges in a block."""

LOW = 0x7FFFFFFF
"""Mask of the second vertex in a packed edge."""


class MeshState(NamedTuple):
    """A mesh under collapse; the arrays are changed in place.

    Attributes:
      points: float64[V, 4] position, and the value of the vertex's own quadric there.
      quadrics: float64[V, 10] see `kernels.host.simplify.quadrics`.
      vertex_fans: int64[B * BLOCK] packed edges (a, b) of the faces (v, a, b) of each vertex, in any order.
      fan_blocks: int32[V + 1, 4] first block, number of blocks and number of packed edges of each vertex, and whether
        its neighbours all are among the first vertices of those (1) or only among both (2); the last row holds the
        first free block.
      parent: int32[V] the vertex that each one went into; itself while it lives.
    """

    points: np.ndarray
    quadrics: np.ndarray
    vertex_fans: np.ndarray
    fan_blocks: np.ndarray
    parent: np.ndarray


class Scratch(NamedTuple):
    """Working memory of a search for the next collapse.

    Attributes:
      mark: int64[V + 1] the stamp of the last visit of each vertex; the last entry is the latest stamp given out.
      apexes: int32[F] the third vertices of the faces that a collapse removed.
      candidates: int32[V] neighbours that a vertex may collapse into.
      bounds: float64[V] their errors.
    """

    mark: np.ndarray
    apexes: np.ndarray
    candidates: np.ndarray
    bounds: np.ndarray


def new_mesh_state(positions: np.ndarray, triangles: np.ndarray) -> MeshState:
    """MeshState of float64[V, 3] positions and int32[F, 3] faces without degenerate or repeated ones."""
    num_vertices, num_faces = len(positions), len(triangles)
    # Room for all fans packed together, each with a block that is not full, and for the longest that two can give.
    room = BLOCK * (num_vertices + 3 * num_faces // 4 + 3)
    mesh = MeshState(
        *empty_together(
            ((num_vertices, 4), np.float64),
            ((num_vertices, 10), np.float64),
            (room, np.int64),
            ((num_vertices + 1, 4), np.int32),
            (num_vertices, np.int32),
        )
    )
    points, quadrics, vertex_fans, fan_blocks, parent = mesh
    points[:, :3] = positions
    quadrics[:] = 0
    fan_blocks[:] = 0
    parent[:] = np.arange(num_vertices, dtype=np.int32)
    _fill(triangles, vertex_fans, fan_blocks)
    _add_quadrics(points, quadrics, triangles, vertex_fans, fan_blocks)
    return mesh


@compiled
def count_faces(fan_blocks):
    """Number of faces as they are now."""
    count = 0
    for v in range(fan_blocks.shape[0] - 1):
        count += fan_blocks[v, 2]
    return count // 3


@compiled
def faces_of(vertex_fans, fan_blocks):
    """int32[G, 3] faces as they are now, each starting with its lowest vertex."""
    faces = np.empty((count_faces(fan_blocks), 3), np.int32)
    count = 0
    for v in range(fan_blocks.shape[0] - 1):
        first = BLOCK * np.int64(fan_blocks[v, 0])
        for i in range(first, first + fan_blocks[v, 2]):
            a, b = vertex_fans[i] >> 32, vertex_fans[i] & LOW
            if v < a and v < b:
                faces[count, 0], faces[count, 1], faces[count, 2] = v, a, b
                count += 1
    return faces


@compiled(inline="always")
def pack(a, b):
    """Two vertices as one number, a * 2^32 + b."""
    return (np.int64(a) << 32) | np.int64(b)


@compiled(inline="always")
def vertex(packed_edge, side):
    """The first (0) or the second (1) vertex of a packed edge."""
    return (packed_edge >> (32 - 32 * side)) & LOW


@compiled(inline="always")
def drop(vertex_fans, fan_blocks, v, packed_edge):
    """Removes a packed edge from v's fan."""
    i = _find(vertex_fans, fan_blocks, v, packed_edge)
    fan_blocks[v, 2] -= 1
    vertex_fans[i] = vertex_fans[BLOCK * np.int64(fan_blocks[v, 0]) + fan_blocks[v, 2]]


@compiled(inline="always")
def rename(vertex_fans, fan_blocks, v, packed_edge, other):
    """Replaces a packed edge in v's fan."""
    vertex_fans[_find(vertex_fans, fan_blocks, v, packed_edge)] = other


@compiled(inline="always")
def _find(vertex_fans, fan_blocks, v, packed_edge):
    """Place of a packed edge that v's fan does have: without a branch inside a block, which would be guessed wrong."""
    i = BLOCK * np.int64(fan_blocks[v, 0])
    while vertex_fans[i] != packed_edge:
        i += 1
    return i


@compiled
def repack(vertex_fans, fan_blocks):
    """Moves all fans to the beginning, in the order of the vertices."""
    old = vertex_fans.copy()
    block = 0
    for v in range(fan_blocks.shape[0] - 1):
        first = BLOCK * np.int64(fan_blocks[v, 0])
        size = fan_blocks[v, 2]
        fan_blocks[v, 0] = block
        fan_blocks[v, 1] = (size + BLOCK - 1) // BLOCK
        for i in range(size):
            vertex_fans[BLOCK * block + i] = old[first + i]
        block += fan_blocks[v, 1]
    fan_blocks[-1, 0] = block


@compiled(inline="always")
def next_stamp(mark):
    """A stamp that no vertex bears."""
    mark[-1] += 1
    return mark[-1]


@compiled
def _fill(triangles, vertex_fans, fan_blocks):
    for f in range(triangles.shape[0]):
        for k in range(3):
            fan_blocks[triangles[f, k], 1] += 1
    block = 0
    for v in range(fan_blocks.shape[0] - 1):
        fan_blocks[v, 0] = block
        fan_blocks[v, 1] = (fan_blocks[v, 1] + BLOCK - 1) // BLOCK
        block += fan_blocks[v, 1]
    fan_blocks[-1, 0] = block
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        _append(vertex_fans, fan_blocks, a, pack(b, c))
        _append(vertex_fans, fan_blocks, b, pack(c, a))
        _append(vertex_fans, fan_blocks, c, pack(a, b))
    for v in range(fan_blocks.shape[0] - 1):
        fan_blocks[v, 3] = 1 if _is_closed(vertex_fans, fan_blocks, v) else 2


@compiled(inline="always")
def _append(vertex_fans, fan_blocks, v, packed_edge):
    vertex_fans[BLOCK * np.int64(fan_blocks[v, 0]) + fan_blocks[v, 2]] = packed_edge
    fan_blocks[v, 2] += 1


@compiled(error_model="numpy")
def _add_quadrics(points, quadrics, triangles, vertex_fans, fan_blocks):
    points, quadrics, triangles = borrowed(points), borrowed(quadrics), borrowed(triangles)
    vertex_fans, fan_blocks = borrowed(vertex_fans), borrowed(fan_blocks)
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        open_ab = fan_blocks[a, 3] == 2 and _is_open(vertex_fans, fan_blocks, a, b)
        open_bc = fan_blocks[b, 3] == 2 and _is_open(vertex_fans, fan_blocks, b, c)
        open_ca = fan_blocks[c, 3] == 2 and _is_open(vertex_fans, fan_blocks, c, a)
        quadric.add_face(quadrics, points, (a, b, c), (open_ab, open_bc, open_ca))
    for v in range(points.shape[0]):
        points[v, 3] = quadric.evaluate(quadric.load(quadrics, v), points[v, 0], points[v, 1], points[v, 2])


@compiled(inline="always")
def _is_closed(vertex_fans, fan_blocks, v):
    """Whether every neighbour is as often the first vertex of a packed edge as it is the second.

    That stays so under collapses: with v and u taken for one, a packed edge (v, u) counts for nothing. So a fan that
    loses it keeps the balance, and so does the fan that two such fans become.
    """
    first = BLOCK * np.int64(fan_blocks[v, 0])
    for i in range(first, first + fan_blocks[v, 2]):
        a, balance = vertex_fans[i] >> 32, 0
        for j in range(first, first + fan_blocks[v, 2]):
            balance += (vertex_fans[j] >> 32 == a) - (vertex_fans[j] & LOW == a)
        if balance != 0:
            return False
    return True


@compiled(inline="always")
def _is_open(vertex_fans, fan_blocks, v, u):
    """Whether one face alone has the edge (v, u)."""
    if fan_blocks[v, 2] > 2 * BLOCK and fan_blocks[u, 2] < fan_blocks[v, 2]:
        v, u = u, v
    count = 0
    first = BLOCK * np.int64(fan_blocks[v, 0])
    for i in range(first, first + fan_blocks[v, 2]):
        packed_edge = vertex_fans[i]
        count += (packed_edge >> 32 == u) | (packed_edge & LOW == u)
    return count == 1
