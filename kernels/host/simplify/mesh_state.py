"""The triangle mesh that edge collapses work on, and one collapse.

A vertex keeps its fan: for each of its faces (v, a, b) the two others as one number, a * 2^32 + b. Fans are stored in
blocks of 64 bytes, so that one look at memory brings all faces around a vertex, and the looks at what they name do not
wait for one another.
"""

from typing import NamedTuple

import numpy as np

from kernels.host.jit import borrowed, compiled, empty_together
from kernels.host.simplify import quadrics as quadric

BLOCK = 8
"""Packed edges in a block."""

LOW = 0x7FFFFFFF
"""Mask of the second vertex in a packed edge."""

CONTRADICTION = "the collapse of edges would never end: the fans of the vertices contradict each other"
"""The message of a RuntimeError in place of an endless search. No mesh leads to it, only an error in a kernel."""


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
    """MeshState of a mesh.

    Args:
        positions: float64 [V, 3], inside the unit cube about zero.
        triangles: int32 [F, 3], none degenerate, none repeated.

    Returns:
        MeshState.
    """
    num_vertices, num_faces = len(positions), len(triangles)
    # Room for all fans packed together, each with a block that is not full, and for the longest that two can give.
    room = BLOCK * (num_vertices + 3 * num_faces // 4 + 3)
    shapes = (num_vertices, 4), (num_vertices, 10), room, (num_vertices + 1, 4), num_vertices
    mesh = MeshState(*empty_together(*zip(shapes, (np.float64, np.float64, np.int64, np.int32, np.int32))))
    mesh.points[:, :3] = positions
    mesh.quadrics[:] = 0
    mesh.fan_blocks[:] = 0
    mesh.parent[:] = np.arange(num_vertices)
    _fill(triangles, mesh.vertex_fans, mesh.fan_blocks)
    _add_quadrics(mesh, triangles)
    return mesh


def new_scratch(mesh: MeshState) -> Scratch:
    """Scratch for a mesh, as large as its collapses may need."""
    num_vertices = len(mesh.parent)
    shapes = num_vertices + 1, mesh.fan_blocks[:-1, 2].sum() // 3, num_vertices, num_vertices
    scratch = Scratch(*empty_together(*zip(shapes, (np.int64, np.int32, np.int32, np.float64))))
    scratch.mark[:] = 0
    return scratch


@compiled
def faces_of(vertex_fans, fan_blocks):
    """int32[G, 3] faces as they are now, each starting with its lowest vertex."""
    faces = np.empty((fan_blocks[:-1, 2].sum() // 3, 3), np.int32)
    count = 0
    for v in range(fan_blocks.shape[0] - 1):
        first = BLOCK * np.int64(fan_blocks[v, 0])
        for i in range(first, first + fan_blocks[v, 2]):
            a, b = vertex_fans[i] >> 32, vertex_fans[i] & LOW
            if v < a and v < b:
                faces[count, 0], faces[count, 1], faces[count, 2] = v, a, b
                count += 1
    return faces


@compiled(forceinline=True)
def pack(a, b):
    """Two vertices as one number, a * 2^32 + b."""
    return (np.int64(a) << 32) | np.int64(b)


@compiled(forceinline=True)
def vertex(packed_edge, side):
    """The first (0) or the second (1) vertex of a packed edge."""
    return (packed_edge >> (32 - 32 * side)) & LOW


@compiled
def _repack(vertex_fans, fan_blocks):
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


@compiled(forceinline=True)
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
        a, b, c = np.int64(triangles[f, 0]), np.int64(triangles[f, 1]), np.int64(triangles[f, 2])
        for v, packed_edge in ((a, pack(b, c)), (b, pack(c, a)), (c, pack(a, b))):
            vertex_fans[BLOCK * np.int64(fan_blocks[v, 0]) + fan_blocks[v, 2]] = packed_edge
            fan_blocks[v, 2] += 1
    for v in range(fan_blocks.shape[0] - 1):
        fan_blocks[v, 3] = 1 if _is_closed(vertex_fans, fan_blocks, v) else 2


@compiled(error_model="numpy")
def _add_quadrics(mesh, triangles):
    points, quadrics, vertex_fans, fan_blocks, _ = borrowed(mesh)
    triangles = borrowed(triangles)
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        open_ab = fan_blocks[a, 3] == 2 and _is_open(vertex_fans, fan_blocks, a, b)
        open_bc = fan_blocks[b, 3] == 2 and _is_open(vertex_fans, fan_blocks, b, c)
        open_ca = fan_blocks[c, 3] == 2 and _is_open(vertex_fans, fan_blocks, c, a)
        quadric.add_face(quadrics, points, (a, b, c), (open_ab, open_bc, open_ca))
    for v in range(points.shape[0]):
        points[v, 3] = quadric.evaluate(quadric.load(quadrics, v), points[v, 0], points[v, 1], points[v, 2])


@compiled(forceinline=True)
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


@compiled(forceinline=True)
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


@compiled(forceinline=True)
def _find(vertex_fans, fan_blocks, v, packed_edge):
    """Place of a packed edge in the fan of v; the end of the fan if it is not there, which only an error leads to."""
    i = BLOCK * np.int64(fan_blocks[v, 0])
    end = i + fan_blocks[v, 2]
    while i < end and vertex_fans[i] != packed_edge:
        i += 1
    return i


@compiled(forceinline=True)
def _drop(vertex_fans, fan_blocks, v, packed_edge):
    i = _find(vertex_fans, fan_blocks, v, packed_edge)
    fan_blocks[v, 2] -= 1
    vertex_fans[i] = vertex_fans[BLOCK * np.int64(fan_blocks[v, 0]) + fan_blocks[v, 2]]


@compiled(error_model="numpy", forceinline=True)
def collapse(mesh, apexes, v, u, place):
    """Moves v into u and u to `place`; faces that held both go.

    A third vertex that thereby loses its last face goes into u too, so that a component that runs out of faces ends
    as one vertex.

    Args:
        mesh: a `MeshState`, changed in place.
        apexes: int32[F], receives the third vertex of each removed face.
        v, u: numbers of the two vertices.
        place: x, y, z of the merged vertex.

    Returns:
        (number of removed faces, begin, end): the packed edges begin .. end of u's fan were v's.
    """
    points, quadrics, vertex_fans, fan_blocks, parent = mesh
    _absorb(quadrics, fan_blocks, parent, v, u)
    room = (np.int64(fan_blocks[v, 2]) + fan_blocks[u, 2]) * 5 // 4 // BLOCK + 1
    if fan_blocks[-1, 0] + room > vertex_fans.shape[0] // BLOCK:
        _repack(vertex_fans, fan_blocks)
    first = BLOCK * np.int64(fan_blocks[v, 0])
    removed = 0
    for i in range(first, first + fan_blocks[v, 2]):
        packed_edge = vertex_fans[i]
        a, b = (packed_edge >> 32) & LOW, packed_edge & LOW
        if a == u:
            _drop(vertex_fans, fan_blocks, u, pack(b, v))
            _drop(vertex_fans, fan_blocks, b, pack(v, u))
            apexes[removed] = b
            removed += 1
        elif b == u:
            _drop(vertex_fans, fan_blocks, u, pack(v, a))
            _drop(vertex_fans, fan_blocks, a, pack(u, v))
            apexes[removed] = a
            removed += 1
        else:
            vertex_fans[_find(vertex_fans, fan_blocks, a, pack(b, v))] = pack(b, u)
            vertex_fans[_find(vertex_fans, fan_blocks, b, pack(v, a))] = pack(u, a)
            vertex_fans[i - removed] = packed_edge
    fan_blocks[v, 2] -= removed
    begin, end = _join(vertex_fans, fan_blocks, v, u)
    for i in range(removed):
        w = np.int64(apexes[i])
        if fan_blocks[w, 2] == 0 and parent[w] == w:
            _absorb(quadrics, fan_blocks, parent, w, u)
    x, y, z = place
    points[u, 0] = x
    points[u, 1] = y
    points[u, 2] = z
    points[u, 3] = quadric.evaluate(quadric.load(quadrics, u), x, y, z)
    return removed, begin, end


@compiled(error_model="numpy", forceinline=True)
def _absorb(quadrics, fan_blocks, parent, v, u):
    parent[v] = u
    fan_blocks[u, 3] = max(fan_blocks[u, 3], fan_blocks[v, 3])
    for j in range(10):
        quadrics[u, j] += quadrics[v, j]


@compiled(forceinline=True)
def _join(vertex_fans, fan_blocks, v, u):
    """Moves the fan of v into that of u: to the end of it, or after v's, or both to new blocks, as there is room.

    Returns:
        (begin, end), the packed edges of u's fan that were v's.
    """
    begin, end = fan_blocks[u, 2], fan_blocks[u, 2] + fan_blocks[v, 2]
    size = fan_blocks[v, 2] + fan_blocks[u, 2]
    if size > BLOCK * fan_blocks[u, 1]:
        if size <= BLOCK * fan_blocks[v, 1]:
            for j in range(2):
                fan_blocks[v, j], fan_blocks[u, j] = fan_blocks[u, j], fan_blocks[v, j]
            fan_blocks[v, 2], fan_blocks[u, 2] = fan_blocks[u, 2], fan_blocks[v, 2]
            begin, end = np.int32(0), fan_blocks[u, 2]
        else:
            first, block = BLOCK * np.int64(fan_blocks[u, 0]), np.int64(fan_blocks[-1, 0])
            for i in range(fan_blocks[u, 2]):
                vertex_fans[BLOCK * block + i] = vertex_fans[first + i]
            fan_blocks[u, 0] = block
            fan_blocks[u, 1] = size * 5 // 4 // BLOCK + 1
            fan_blocks[-1, 0] += fan_blocks[u, 1]
    source, target = BLOCK * np.int64(fan_blocks[v, 0]), BLOCK * np.int64(fan_blocks[u, 0]) + fan_blocks[u, 2]
    for i in range(fan_blocks[v, 2]):
        vertex_fans[target + i] = vertex_fans[source + i]
    fan_blocks[u, 2] = size
    fan_blocks[v, 2] = 0
    return begin, end
