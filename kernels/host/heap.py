"""An indexed 4-ary heap of vertices: the least (key, vertex) first, keys can change."""

from typing import NamedTuple

import numpy as np
from numba import njit


class Heap(NamedTuple):
    """A heap over the ids 0 .. N-1, none more than once; changed in place.

    Attributes:
      ids: int32[N] the heap, children of place i at 4 i + 1 .. 4 i + 4.
      keys: float64[N] key of each id, meaningful while the id is in the heap.
      places: int32[N] place of each id, -1 outside.
      size: int64[1].
    """

    ids: np.ndarray
    keys: np.ndarray
    places: np.ndarray
    size: np.ndarray


@njit(cache=True, nogil=True)
def new_heap(capacity):
    """An empty heap."""
    return Heap(
        np.empty(capacity, np.int32),
        np.empty(capacity, np.float64),
        np.full(capacity, -1, np.int32),
        np.zeros(1, np.int64),
    )


@njit(cache=True, nogil=True)
def set_key(heap, item, key):
    """Inserts an id, or changes its key."""
    place = heap.places[item]
    heap.keys[item] = key
    if place < 0:
        place = heap.size[0]
        heap.size[0] += 1
        heap.ids[place] = item
        heap.places[item] = place
    _sink(heap, _rise(heap, place))


@njit(cache=True, nogil=True)
def remove(heap, item):
    """Takes an id out; nothing happens if it is not in."""
    place = heap.places[item]
    if place < 0:
        return
    heap.places[item] = -1
    heap.size[0] -= 1
    last = heap.size[0]
    if place < last:
        heap.ids[place] = heap.ids[last]
        heap.places[heap.ids[place]] = place
        _sink(heap, _rise(heap, place))


@njit(cache=True, nogil=True)
def _is_less(heap, a, b):
    return heap.keys[a] < heap.keys[b] or (heap.keys[a] == heap.keys[b] and a < b)


@njit(cache=True, nogil=True)
def _rise(heap, place):
    ids, places = heap.ids, heap.places
    item = ids[place]
    while place > 0:
        above = (place - 1) >> 2
        if not _is_less(heap, item, ids[above]):
            break
        ids[place] = ids[above]
        places[ids[place]] = place
        place = above
    ids[place] = item
    places[item] = place
    return place


@njit(cache=True, nogil=True)
def _sink(heap, place):
    ids, places, size = heap.ids, heap.places, heap.size[0]
    item = ids[place]
    while 4 * place + 1 < size:
        below = 4 * place + 1
        for other in range(below + 1, min(4 * place + 5, size)):
            if _is_less(heap, ids[other], ids[below]):
                below = other
        if not _is_less(heap, ids[below], item):
            break
        ids[place] = ids[below]
        places[ids[place]] = place
        place = below
    ids[place] = item
    places[item] = place
