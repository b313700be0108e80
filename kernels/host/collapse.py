"""One edge collapse, and what it touches. The arrays are those of `kernels.host.surface.Surface`."""

from kernels.host import quadrics as quadric
from kernels.host.jit import compiled
from kernels.host.surface import link, next_stamp, unlink


@compiled(error_model="numpy")
def collapse(points, quadrics, faces, before, head, parent, apexes, v, u, x, y, z):
    """Moves v into u and u to (x, y, z); faces that held both go.

    A third vertex that thereby loses its last face goes into u too, so that a component that runs out of faces ends
    as one vertex.

    Args:
      apexes: int32[F], receives the third vertex of each removed face.

    Returns:
      Number of removed faces.
    """
    _absorb(quadrics, parent, v, u)
    removed = 0
    corner = head[v]
    head[v] = -1
    while corner >= 0:
        f, k = corner >> 2, corner & 3
        following = faces[f, 4 + k]
        if faces[f, 0] == u or faces[f, 1] == u or faces[f, 2] == u:
            for j in range(3):
                w = faces[f, j]
                if w != v:
                    unlink(faces, before, head, w, 4 * f + j)
                    if w != u:
                        apexes[removed] = w
            faces[f, 0] = -1
            removed += 1
        else:
            faces[f, k] = u
            link(faces, before, head, u, corner)
        corner = following
    for i in range(removed):
        w = apexes[i]
        if head[w] < 0 and parent[w] == w:
            _absorb(quadrics, parent, w, u)
    points[u, 0] = x
    points[u, 1] = y
    points[u, 2] = z
    points[u, 3] = quadric.evaluate(quadric.load(quadrics, u), x, y, z)
    return removed


@compiled(error_model="numpy")
def _absorb(quadrics, parent, v, u):
    parent[v] = u
    for j in range(10):
        quadrics[u, j] += quadrics[v, j]


@compiled(error_model="numpy")
def affected(faces, head, mark, apexes, removed, u, ring):
    """Vertices whose candidates a collapse into u may have changed.

    Args:
      ring: int32[V], receives the neighbours of u, then the third vertices of removed faces that are no longer its
        neighbours, then u.

    Returns:
      (number of neighbours of u, number of all).
    """
    stamp = next_stamp(mark)
    mark[u] = stamp
    count = 0
    corner = head[u]
    while corner >= 0:
        f = corner >> 2
        for k in range(3):
            w = faces[f, k]
            if mark[w] != stamp:
                mark[w] = stamp
                ring[count] = w
                count += 1
        corner = faces[f, 4 + (corner & 3)]
    neighbours = count
    for i in range(removed):
        w = apexes[i]
        if mark[w] != stamp:
            mark[w] = stamp
            ring[count] = w
            count += 1
    ring[count] = u
    return neighbours, count + 1
