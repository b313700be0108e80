"""One edge collapse. The arrays are those of `kernels.host.simplify.mesh_state.Surface`."""

import numpy as np

from kernels.host.jit import compiled
from kernels.host.simplify import quadrics as quadric
from kernels.host.simplify.mesh_state import BLOCK, LOW, drop, pack, rename, repack


@compiled(error_model="numpy", inline="always")
def collapse(points, quadrics, fans, spans, parent, apexes, v, u, x, y, z):
    """Moves v into u and u to (x, y, z); faces that held both go.

    A third vertex that thereby loses its last face goes into u too, so that a component that runs out of faces ends
    as one vertex.

    Args:
      apexes: int32[F], receives the third vertex of each removed face.

    Returns:
      (number of removed faces, begin, end): the corners begin .. end of u's fan were v's.
    """
    _absorb(quadrics, spans, parent, v, u)
    _make_room(fans, spans, v, u)
    first = BLOCK * np.int64(spans[v, 0])
    removed = 0
    for i in range(first, first + spans[v, 2]):
        corner = fans[i]
        a, b = (corner >> 32) & LOW, corner & LOW
        if a == u:
            drop(fans, spans, u, pack(b, v))
            drop(fans, spans, b, pack(v, u))
            apexes[removed] = b
            removed += 1
        elif b == u:
            drop(fans, spans, u, pack(v, a))
            drop(fans, spans, a, pack(u, v))
            apexes[removed] = a
            removed += 1
        else:
            rename(fans, spans, a, pack(b, v), pack(b, u))
            rename(fans, spans, b, pack(v, a), pack(u, a))
            fans[i - removed] = corner
    spans[v, 2] -= removed
    begin, end = _join(fans, spans, v, u)
    for i in range(removed):
        w = apexes[i]
        if spans[w, 2] == 0 and parent[w] == w:
            _absorb(quadrics, spans, parent, w, u)
    points[u, 0] = x
    points[u, 1] = y
    points[u, 2] = z
    points[u, 3] = quadric.evaluate(quadric.load(quadrics, u), x, y, z)
    return removed, begin, end


@compiled(error_model="numpy", inline="always")
def _absorb(quadrics, spans, parent, v, u):
    parent[v] = u
    spans[u, 3] = max(spans[u, 3], spans[v, 3])
    for j in range(10):
        quadrics[u, j] += quadrics[v, j]


@compiled(inline="always")
def _make_room(fans, spans, v, u):
    """Sees to it that a fan as long as those of v and u, and a quarter, can be had where neither has the blocks."""
    if spans[-1, 0] + (np.int64(spans[v, 2]) + spans[u, 2]) * 5 // 4 // BLOCK + 1 > fans.shape[0] // BLOCK:
        repack(fans, spans)


@compiled(inline="always")
def _join(fans, spans, v, u):
    """Moves the fan of v into that of u: to the end of it, or after v's, or both to new blocks, as there is room.

    Returns:
      (begin, end), the corners of u's fan that were v's.
    """
    begin, end = spans[u, 2], spans[u, 2] + spans[v, 2]
    size = spans[v, 2] + spans[u, 2]
    if size > BLOCK * spans[u, 1]:
        if size <= BLOCK * spans[v, 1]:
            for j in range(2):
                spans[v, j], spans[u, j] = spans[u, j], spans[v, j]
            spans[v, 2], spans[u, 2] = spans[u, 2], spans[v, 2]
            begin, end = np.int32(0), spans[u, 2]
        else:
            first, block = BLOCK * np.int64(spans[u, 0]), np.int64(spans[-1, 0])
            for i in range(spans[u, 2]):
                fans[BLOCK * block + i] = fans[first + i]
            spans[u, 0] = block
            spans[u, 1] = size * 5 // 4 // BLOCK + 1
            spans[-1, 0] += spans[u, 1]
    source, target = BLOCK * np.int64(spans[v, 0]), BLOCK * np.int64(spans[u, 0]) + spans[u, 2]
    for i in range(spans[v, 2]):
        fans[target + i] = fans[source + i]
    spans[u, 2] = size
    spans[v, 2] = 0
    return begin, end
