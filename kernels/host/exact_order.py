"""Edge collapses in the order of their price, the cheapest first: the reference for every faster order."""

import numpy as np
from numba import njit

from kernels.host.collapse import affected, collapse
from kernels.host.heap import new_heap, remove, set_key
from kernels.host.pricing import cheapest, error, least_error


@njit(cache=True, nogil=True)
def collapse_by_heap(surface, scratch, target, optimal):
    """Collapses until at most `target` faces live, always v -> u with the least (price, v, u).

    A vertex waits in the heap under its least error, which no price is below, until it comes first; then it is priced,
    and waits under its price until a collapse nearby may have changed it.

    Args:
      surface: changed in place.
      scratch: work space of the same size.
      target: number of faces, >= 0.
      optimal: whether merged vertices move to the best place; they take the place of one of the two otherwise.

    Returns:
      int32[C] the vertices v in the order of their collapse.
    """
    num_vertices, living = surface.head.shape[0], surface.faces.shape[0]
    errors = np.full(num_vertices, np.inf)
    nearest = np.full(num_vertices, -1, np.int32)
    partners = np.full(num_vertices, -1, np.int32)
    priced = np.zeros(num_vertices, np.bool_)
    order = np.empty(num_vertices, np.int32)
    count = 0
    heap = new_heap(num_vertices)
    for v in range(num_vertices):
        if surface.head[v] >= 0:
            errors[v], nearest[v] = least_error(surface, scratch, v, optimal)
            set_key(heap, v, errors[v])
    while living > target:
        v = heap.ids[0]
        if not priced[v]:
            cost, u, _, _, _ = cheapest(surface, scratch, v, nearest[v], -1.0, optimal)
            priced[v] = True
            partners[v] = u
            set_key(heap, v, cost)
            continue
        u = partners[v]
        _, x, y, z = error(surface, v, u, optimal)
        removed = collapse(surface, scratch, v, u, x, y, z)
        remove(heap, v)
        order[count] = v
        count += 1
        living -= removed
        _renew(surface, scratch, errors, nearest, priced, heap, v, u, removed, optimal)
    return order[:count].copy()


@njit(cache=True, nogil=True)
def _renew(surface, scratch, errors, nearest, priced, heap, v, u, removed, optimal):
    """Errors and keys after the collapse v -> u."""
    neighbours, count = affected(surface, scratch, u, removed)
    for i in range(count):
        w = scratch.ring[i]
        if surface.head[w] < 0:
            remove(heap, w)
            continue
        if i >= neighbours or nearest[w] == v or nearest[w] == u:
            errors[w], nearest[w] = least_error(surface, scratch, w, optimal)
        else:
            cost = error(surface, w, u, optimal)[0]
            if cost < errors[w] or (cost == errors[w] and u < nearest[w]):
                errors[w], nearest[w] = cost, u
        priced[w] = False
        set_key(heap, w, errors[w])
    if optimal:
        for i in range(count):
            _forget_around(surface, errors, priced, heap, scratch.ring[i])


@njit(cache=True, nogil=True)
def _forget_around(surface, errors, priced, heap, w):
    """Prices of w's neighbours are open again: with the best place they depend on the faces of w."""
    faces = surface.faces
    corner = surface.head[w]
    while corner >= 0:
        f = corner >> 2
        for k in range(3):
            t = faces[f, k]
            if priced[t]:
                priced[t] = False
                set_key(heap, t, errors[t])
        corner = surface.after[corner]
