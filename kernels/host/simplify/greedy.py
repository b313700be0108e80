"""Edge collapses in the order of their price, the cheapest first: the reference for every faster order."""

import numpy as np

from kernels.host.jit import compiled
from kernels.host.simplify.collapse import collapse
from kernels.host.simplify.cost import cheapest, error, least_error
from kernels.host.simplify.heap import new_heap, remove, set_key
from kernels.host.simplify.mesh_state import BLOCK, LOW, count_faces, gather, new_marks, next_stamp


@compiled(error_model="numpy")
def collapse_by_heap(points, quadrics, fans, spans, parent, target, optimal):
    """Collapses until at most `target` faces live, always v -> u with the least (price, v, u).

    A vertex waits in the heap under its least error, which no price is below, until it comes first; then it is priced,
    and waits under its price until a collapse nearby may have changed it.

    Args:
      points, quadrics, fans, spans, parent: a `Surface`, changed in place.
      target: number of faces, >= 0.
      optimal: whether merged vertices move to the best place; they take the place of one of the two otherwise.

    Returns:
      int32[C] the vertices v in the order of their collapse.
    """
    num_vertices, living = parent.shape[0], count_faces(spans)
    mark, ring, apexes = new_marks(num_vertices), np.empty(num_vertices, np.int32), np.empty(living, np.int32)
    candidates, bounds = np.empty(num_vertices, np.int32), np.empty(num_vertices)
    errors, nearest = np.full(num_vertices, np.inf), np.full(num_vertices, np.int32(-1))
    partners = np.empty(num_vertices, np.int32)
    priced = np.zeros(num_vertices, np.bool_)
    order = np.empty(num_vertices, np.int32)
    count = 0
    ids, keys, places = new_heap(num_vertices)
    for v in range(num_vertices):
        if spans[v, 2] > 0:
            errors[v], nearest[v] = least_error(points, quadrics, fans, spans, v, optimal)
            set_key(ids, keys, places, v, errors[v])
    while living > target:
        v = np.int64(ids[0])
        if not priced[v]:
            cost, u, _, _, _ = cheapest(
                points, quadrics, fans, spans, mark, candidates, bounds, v, nearest[v], -1.0, optimal
            )
            priced[v] = True
            partners[v] = u
            set_key(ids, keys, places, v, cost)
            continue
        u = partners[v]
        _, x, y, z = error(points, quadrics, v, u, optimal)
        removed, _, _ = collapse(points, quadrics, fans, spans, parent, apexes, v, u, x, y, z)
        remove(ids, keys, places, v)
        order[count] = v
        count += 1
        living -= removed
        neighbours, affected_count = _affected(fans, spans, mark, apexes, removed, u, ring)
        around = ring[:affected_count]
        _renew(points, quadrics, fans, spans, errors, nearest, around, neighbours, v, u, optimal)
        _requeue(points, quadrics, fans, spans, ids, keys, places, errors, priced, around, optimal)
    return order[:count].copy()


@compiled(error_model="numpy")
def _affected(fans, spans, mark, apexes, removed, u, ring):
    """Vertices whose candidates a collapse into u may have changed.

    Args:
      ring: int32[V], receives the neighbours of u, then the third vertices of removed faces that are no longer its
        neighbours, then u.

    Returns:
      (number of neighbours of u, number of all).
    """
    stamp = next_stamp(mark)
    mark[u] = stamp
    neighbours = count = gather(fans, spans, mark, stamp, u, ring, 0)
    for i in range(removed):
        w = apexes[i]
        if mark[w] != stamp:
            mark[w] = stamp
            ring[count] = w
            count += 1
    ring[count] = u
    return neighbours, count + 1


@compiled(error_model="numpy")
def _renew(points, quadrics, fans, spans, errors, nearest, ring, neighbours, v, u, optimal):
    """Least errors after the collapse v -> u, for the vertices that it affected, neighbours of u first."""
    for i in range(ring.shape[0]):
        w = np.int64(ring[i])
        if spans[w, 2] == 0:
            continue
        if i >= neighbours or nearest[w] == v or nearest[w] == u:
            errors[w], nearest[w] = least_error(points, quadrics, fans, spans, w, optimal)
        else:
            cost = error(points, quadrics, w, u, optimal)[0]
            if cost < errors[w] or (cost == errors[w] and u < nearest[w]):
                errors[w], nearest[w] = cost, u


@compiled(error_model="numpy")
def _requeue(points, quadrics, fans, spans, ids, keys, places, errors, priced, ring, optimal):
    """Opens the prices that a collapse may have changed.

    These are the prices of the affected vertices and, with the best place, of their neighbours: the price of a pair
    depends on the faces of both ends then. It matters where the pair's error, a lower bound, is not above the price.
    """
    for i in range(ring.shape[0]):
        w = np.int64(ring[i])
        if spans[w, 2] == 0:
            remove(ids, keys, places, w)
            continue
        priced[w] = False
        set_key(ids, keys, places, w, errors[w])
        if not optimal:
            continue
        first = BLOCK * np.int64(spans[w, 0])
        for j in range(first, first + spans[w, 2]):
            for t in (fans[j] >> 32, fans[j] & LOW):
                if priced[t] and error(points, quadrics, t, w, optimal)[0] <= keys[t]:
                    priced[t] = False
                    set_key(ids, keys, places, t, errors[t])
