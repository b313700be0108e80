"""Edge collapses in the order of their cost, the lowest first: the reference for every faster order."""

from typing import NamedTuple

import numpy as np

from kernels.host.jit import borrowed, compiled
from kernels.host.simplify.cost import error, least_error, min_cost_neighbour
from kernels.host.simplify.mesh_state import BLOCK, CONTRADICTION, MeshState, collapse, new_scratch, next_stamp, vertex


class _Heap(NamedTuple):
    """An indexed 4-ary heap: the least (key, item) first. Keys can change.

    Attributes:
        ids: int32 [V + 1] items in heap order, the children of place i at 4 i + 1 to 4 i + 4; their number comes last.
        keys: float64 [V] key of each item.
        places: int32 [V] place of each item, -1 outside the heap.
    """

    ids: np.ndarray
    keys: np.ndarray
    places: np.ndarray


class _Queue(NamedTuple):
    """The vertices by what they cost.

    They wait in the heap under their least error, `errors` float64 [V], which they have with `nearest` int32 [V]; or,
    if `is_exact` bool [V], under their cost, which they have with `partners` int32 [V].
    """

    heap: _Heap
    errors: np.ndarray
    nearest: np.ndarray
    partners: np.ndarray
    is_exact: np.ndarray


def collapse_by_heap(mesh: MeshState, target: int, optimal: bool) -> np.ndarray:
    """Collapses until at most `target` faces live, always v -> u with the least (cost, v, u).

    A vertex waits in the heap under its least error, which no cost is below, until it comes first. Then its cost is
    computed, and it waits under that until a collapse nearby may have changed it.

    Args:
        mesh: changed in place.
        target: number of faces, >= 0.
        optimal: whether merged vertices move to the best place; otherwise they take the place of one of the two.

    Returns:
        int32 [C] the vertices v in the order of their collapse.

    Raises:
        RuntimeError: the fans of the mesh contradict each other.
    """
    num_vertices = len(mesh.parent)
    places, nearest, partners = np.full((3, num_vertices), -1, np.int32)
    heap = _Heap(np.zeros(num_vertices + 1, np.int32), np.empty(num_vertices), places)
    queue = _Queue(heap, np.full(num_vertices, np.inf), nearest, partners, np.zeros(num_vertices, np.bool_))
    order, ring = np.empty((2, num_vertices), np.int32)
    return order[: _collapse(mesh, new_scratch(mesh), queue, (order, ring), target, optimal)].copy()


@compiled(error_model="numpy")
def _collapse(mesh, scratch, queue, lists, target, optimal):
    """Collapses; returns their number. `lists`: int32 [V] the order of the collapses, int32 [V] working memory."""
    mesh, scratch, queue, (order, ring) = borrowed((mesh, scratch, queue, lists))
    living, count = scratch.apexes.shape[0], 0
    for v in range(mesh.parent.shape[0]):
        if mesh.fan_blocks[v, 2] > 0:
            queue.errors[v], queue.nearest[v] = least_error(mesh, v, optimal)
            _set_key(queue.heap, v, queue.errors[v])
    while living > target:
        if queue.heap.ids[-1] == 0 or count == order.shape[0]:
            raise RuntimeError(CONTRADICTION)
        v = np.int64(queue.heap.ids[0])
        if not queue.is_exact[v]:
            cost, queue.partners[v], _ = min_cost_neighbour(mesh, scratch, v, queue.nearest[v], -1.0, optimal)
            queue.is_exact[v] = True
            _set_key(queue.heap, v, cost)
            continue
        u = queue.partners[v]
        _, place = error(mesh, v, u, optimal)
        removed, _, _ = collapse(mesh, scratch.apexes, v, u, place)
        _remove(queue.heap, v)
        order[count] = v
        count += 1
        living -= removed
        neighbours, affected = _affected(mesh, scratch, removed, u, ring)
        _renew(mesh, queue, ring[:affected], neighbours, (v, u), optimal)
        _requeue(mesh, queue, ring[:affected], optimal)
    return count


@compiled(error_model="numpy")
def _affected(mesh, scratch, removed, u, ring):
    """Lists the vertices whose candidates a collapse into u may have changed, as the scratch's first apexes tell it.

    `ring` receives the neighbours of u, then the apexes that are no longer its neighbours, then u.

    Returns:
        (number of neighbours of u, number of all).
    """
    mark, stamp = scratch.mark, next_stamp(scratch.mark)
    mark[u] = stamp
    count, first = 0, BLOCK * np.int64(mesh.fan_blocks[u, 0])
    for side in range(mesh.fan_blocks[u, 3]):
        for i in range(first, first + mesh.fan_blocks[u, 2]):
            w = vertex(mesh.vertex_fans[i], side)
            ring[count] = w
            count += mark[w] != stamp
            mark[w] = stamp
    neighbours = count
    for i in range(removed):
        w = scratch.apexes[i]
        if mark[w] != stamp:
            mark[w] = stamp
            ring[count] = w
            count += 1
    ring[count] = u
    return neighbours, count + 1


@compiled(error_model="numpy")
def _renew(mesh, queue, ring, neighbours, pair, optimal):
    """Least errors after the collapse v -> u, for the vertices that it affected, neighbours of u first."""
    v, u = pair
    errors, nearest = queue.errors, queue.nearest
    for i in range(ring.shape[0]):
        w = np.int64(ring[i])
        if mesh.fan_blocks[w, 2] == 0:
            continue
        if i >= neighbours or nearest[w] == v or nearest[w] == u:
            errors[w], nearest[w] = least_error(mesh, w, optimal)
        else:
            cost = error(mesh, w, u, optimal)[0]
            if cost < errors[w] or (cost == errors[w] and u < nearest[w]):
                errors[w], nearest[w] = cost, u


@compiled(error_model="numpy")
def _requeue(mesh, queue, ring, optimal):
    """Replaces the costs that a collapse may have changed by least errors.

    These are the costs of the affected vertices and, with the best place, of their neighbours: then the cost of a pair
    depends on the faces of both ends. It matters where the pair's error, a lower bound, is not above the cost.
    """
    vertex_fans, fan_blocks = mesh.vertex_fans, mesh.fan_blocks
    heap, errors, is_exact = queue.heap, queue.errors, queue.is_exact
    for i in range(ring.shape[0]):
        w = np.int64(ring[i])
        if fan_blocks[w, 2] == 0:
            _remove(heap, w)
            continue
        is_exact[w] = False
        _set_key(heap, w, errors[w])
        if not optimal:
            continue
        first = BLOCK * np.int64(fan_blocks[w, 0])
        for j in range(first, first + fan_blocks[w, 2]):
            for side in range(2):
                t = vertex(vertex_fans[j], side)
                if is_exact[t] and error(mesh, t, w, optimal)[0] <= heap.keys[t]:
                    is_exact[t] = False
                    _set_key(heap, t, errors[t])


@compiled
def _set_key(heap, item, key):
    """Inserts an item, or changes its key."""
    ids, keys, places = heap
    keys[item] = key
    place = places[item]
    if place < 0:
        place = ids[-1]
        ids[-1] += 1
    _put(heap, item, place)


@compiled
def _remove(heap, item):
    """Takes an item out; nothing happens if it is not in."""
    ids, _, places = heap
    place = places[item]
    if place < 0:
        return
    places[item] = -1
    ids[-1] -= 1
    last = ids[ids[-1]]
    if last != item:
        _put(heap, last, place)


@compiled
def _is_less(keys, a, b):
    key_a, key_b = keys[a], keys[b]
    return key_a < key_b or (key_a == key_b and a < b)


@compiled
def _put(heap, item, place):
    """Moves the gap at a place up or down to where the item may be in it, and puts it in."""
    ids, keys, places = heap
    while place > 0:
        above = (place - 1) >> 2
        if not _is_less(keys, item, ids[above]):
            break
        ids[place] = ids[above]
        places[ids[place]] = place
        place = above
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
