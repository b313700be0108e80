"""One edge collapse of a `kernels.host.simplify.mesh_state.MeshState`."""

import numpy as np

from kernels.host.jit import compiled
from kernels.host.simplify import quadrics as quadric
from kernels.host.simplify.mesh_state import BLOCK, LOW, drop, pack, rename, repack


@compiled(error_model="numpy", inline="always")
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
    _make_room(vertex_fans, fan_blocks, v, u)
    first = BLOCK * np.int64(fan_blocks[v, 0])
    removed = 0
    for i in range(first, first + fan_blocks[v, 2]):
        packed_edge = vertex_fans[i]
        a, b = (packed_edge >> 32) & LOW, packed_edge & LOW
        if a == u:
            drop(vertex_fans, fan_blocks, u, pack(b, v))
            drop(vertex_fans, fan_blocks, b, pack(v, u))
            apexes[removed] = b
            removed += 1
        elif b == u:
            drop(vertex_fans, fan_blocks, u, pack(v, a))
            drop(vertex_fans, fan_blocks, a, pack(u, v))
            apexes[removed] = a
            removed += 1
        else:
            rename(vertex_fans, fan_blocks, a, pack(b, v), pack(b, u))
            rename(vertex_fans, fan_blocks, b, pack(v, a), pack(u, a))
            vertex_fans[i - removed] = packed_edge
    fan_blocks[v, 2] -= removed
    begin, end = _join(vertex_fans, fan_blocks, v, u)
    for i in range(removed):
        w = apexes[i]
        if fan_blocks[w, 2] == 0 and parent[w] == w:
            _absorb(quadrics, fan_blocks, parent, w, u)
    x, y, z = place
    points[u, 0] = x
    points[u, 1] = y
    points[u, 2] = z
    points[u, 3] = quadric.evaluate(quadric.load(quadrics, u), x, y, z)
    return removed, begin, end


@compiled(error_model="numpy", inline="always")
def _absorb(quadrics, fan_blocks, parent, v, u):
    parent[v] = u
    fan_blocks[u, 3] = max(fan_blocks[u, 3], fan_blocks[v, 3])
    for j in range(10):
        quadrics[u, j] += quadrics[v, j]


@compiled(inline="always")
def _make_room(vertex_fans, fan_blocks, v, u):
    """Ensures free blocks for a fan of 5/4 the joint length of the fans of v and u."""
    if (
        fan_blocks[-1, 0] + (np.int64(fan_blocks[v, 2]) + fan_blocks[u, 2]) * 5 // 4 // BLOCK + 1
        > vertex_fans.shape[0] // BLOCK
    ):
        repack(vertex_fans, fan_blocks)


@compiled(inline="always")
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
