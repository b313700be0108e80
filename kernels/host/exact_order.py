"""Edge collapses in the order of their price, the cheapest first: the reference for every faster order."""

import numpy as np

from kernels.host.collapse import affected, collapse
from kernels.host.heap import new_heap, remove, set_key
from kernels.host.jit import compiled
from kernels.host.pricing import cheapest, error, least_error
from kernels.host.surface import new_marks


@compiled(error_model="numpy")
def collapse_by_heap(points, quadrics, faces, before, head, parent, target, optimal):
    """Collapses until at most `target` faces live, always v -> u with the least (price, v, u).

    A vertex waits in the heap under its least error, which no price is below, until it comes first; then it is priced,
    and waits under its price until a collapse nearby may have changed it.

    Args:
      points, quadrics, faces, before, head, parent: a `Surface`, changed in place.
      target: number of faces, >= 0.
      optimal: whether merged vertices move to the best place; they take the place of one of the two otherwise.

    Returns:
      int32[C] the vertices v in the order of their collapse.
    """
    num_vertices, living = head.shape[0], faces.shape[0]
    mark, ring, apexes = new_marks(num_vertices), np.empty(num_vertices, np.int32), np.empty(living, np.int32)
    candidates, bounds = np.empty(num_vertices, np.int32), np.empty(num_vertices)
    errors, nearest = np.full(num_vertices, np.inf), np.full(num_vertices, np.int32(-1))
    partners = np.empty(num_vertices, np.int32)
    priced = np.zeros(num_vertices, np.bool_)
    order = np.empty(num_vertices, np.int32)
    count = 0
    ids, keys, places = new_heap(num_vertices)
    for v in range(num_vertices):
        if head[v] >= 0:
            errors[v], nearest[v] = least_error(points, quadrics, faces, head, mark, v, optimal)
            set_key(ids, keys, places, v, errors[v])
    while living > target:
        v = np.int64(ids[0])
        if not priced[v]:
            cost, u, _, _, _ = cheapest(
                points, quadrics, faces, head, mark, candidates, bounds, v, nearest[v], -1.0, optimal
            )
            priced[v] = True
            partners[v] = u
            set_key(ids, keys, places, v, cost)
            continue
        u = partners[v]
        _, x, y, z = error(points, quadrics, v, u, optimal)
        removed = collapse(points, quadrics, faces, before, head, parent, apexes, v, u, x, y, z)
        remove(ids, keys, places, v)
        order[count] = v
        count += 1
        living -= removed
        neighbours, affected_count = affected(faces, head, mark, apexes, removed, u, ring)
        around = ring[:affected_count]
        _renew(points, quadrics, faces, head, mark, errors, nearest, around, neighbours, v, u, optimal)
        _requeue(points, quadrics, faces, head, ids, keys, places, errors, priced, around, optimal)
    return order[:count].copy()


@compiled(error_model="numpy")
def _renew(points, quadrics, faces, head, mark, errors, nearest, ring, neighbours, v, u, optimal):
    """Least errors after the collapse v -> u, for the vertices that it affected, neighbours of u first."""
    for i in range(ring.shape[0]):
        w = np.int64(ring[i])
        if head[w] < 0:
            continue
        if i >= neighbours or nearest[w] == v or nearest[w] == u:
            errors[w], nearest[w] = least_error(points, quadrics, faces, head, mark, w, optimal)
        else:
            cost = error(points, quadrics, w, u, optimal)[0]
            if cost < errors[w] or (cost == errors[w] and u < nearest[w]):
                errors[w], nearest[w] = cost, u


@compiled(error_model="numpy")
def _requeue(points, quadrics, faces, head, ids, keys, places, errors, priced, ring, optimal):
    """Opens the prices that a collapse may have changed.

    These are the prices of the affected vertices and, with the best place, of their neighbours: the price of a pair
    depends on the faces of both ends then. It matters where the pair's error, a lower bound, is not above the price.
    """
    for i in range(ring.shape[0]):
        w = np.int64(ring[i])
        if head[w] < 0:
            remove(ids, keys, places, w)
            continue
        priced[w] = False
        set_key(ids, keys, places, w, errors[w])
        if not optimal:
            continue
        corner = head[w]
        while corner >= 0:
            f = corner >> 2
            for k in range(3):
                t = np.int64(faces[f, k])
                if priced[t] and error(points, quadrics, t, w, optimal)[0] <= keys[t]:
                    priced[t] = False
                    set_key(ids, keys, places, t, errors[t])
            corner = faces[f, 4 + (corner & 3)]
