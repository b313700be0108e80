"""An indexed 4-ary heap: the least (key, item) first, keys can change.

Items are 0 .. N-1, each at most once in the heap. Three arrays, changed in place:
  ids: int32[N + 1] items in heap order, the children of place i at 4 i + 1 to 4 i + 4; the last entry is their number.
  keys: float64[N] key of each item.
  places: int32[N] place of each item, -1 outside the heap.
"""

import numpy as np

from kernels.host.jit import compiled


@compiled
def new_heap(capacity):
    """An empty heap: (ids, keys, places)."""
    return np.zeros(capacity + 1, np.int32), np.empty(capacity), np.full(capacity, np.int32(-1))


@compiled
def set_key(ids, keys, places, item, key):
    """Inserts an item, or changes its key."""
    keys[item] = key
    place = places[item]
    if place < 0:
        place = ids[-1]
        ids[-1] += 1
    _sink(ids, keys, places, item, _rise(ids, keys, places, item, place))


@compiled
def remove(ids, keys, places, item):
    """Takes an item out; nothing happens if it is not in."""
    place = places[item]
    if place < 0:
        return
    places[item] = -1
    ids[-1] -= 1
    last = ids[ids[-1]]
    if last != item:
        _sink(ids, keys, places, last, _rise(ids, keys, places, last, place))


@compiled
def _is_less(keys, a, b):
    key_a, key_b = keys[a], keys[b]
    return key_a < key_b or (key_a == key_b and a < b)


@compiled
def _rise(ids, keys, places, item, place):
    """Moves the gap at a place up to where the item may be in it; returns that place."""
    while place > 0:
        above = (place - 1) >> 2
        if not _is_less(keys, item, ids[above]):
            break
        ids[place] = ids[above]
        places[ids[place]] = place
        place = above
    return place


@compiled
def _sink(ids, keys, places, item, place):
    """Moves the gap down likewise and puts the item in."""
    size = ids[-1]
    while 4 * place + 1 < size:
        below = 4 * place + 1
        for other in range(below + 1, min(4 * place + 5, size)):
            if _is_less(keys, ids[other], ids[below]):
                below = other
        if not _is_less(keys, ids[below], item):
            break
        ids[place] = ids[below]
        places[ids[place]] = place
        place = below
    ids[place] = item
    places[item] = place
