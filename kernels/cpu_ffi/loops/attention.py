"""The work of one-ring attention on CPU: dot products along edges, and weighted sums over the ring of each vertex.

Arguments that name vertices and edges beyond the arrays are treated as absent.
"""

from numba import njit

from kernels.cpu_ffi.loops.simd import LANES, add_weighted, store_dot
from kernels.cpu_ffi.runtime.cache import cached_cfunc
from kernels.cpu_ffi.runtime.call_frame import data, dimension, plan, result
from kernels.cpu_ffi.runtime.memory import fill_zero, load, load_flag, load_index, stack, store

TILE = 256
"""Vertices per item."""
EDGE_TILE = 1024
"""Overflow edges per item."""
LISTED = 256
"""Edges of one vertex that are summed at a time."""

weight_list, source_list = stack(8 * LISTED), stack(8 * LISTED)
place_list, left_list, right_list = stack(8 * LISTED), stack(8 * LISTED), stack(8 * LISTED)


@njit(error_model="numpy")
def used_slots(ring_row, slots, absent):
    """Slots of a vertex without the absent ones at its end, to a pair."""
    nothing = absent | absent << 32
    while slots >= 2 and load(ring_row + 4 * slots - 8) == nothing:
        slots -= 2
    return slots


@njit(error_model="numpy")
def store_dots(count, places, lefts, rights, vectors):
    """Writes the products of the listed pairs of rows to the listed places."""
    for i in range(0, 8 * count, 8):
        store_dot(load(places + i), load(lefts + i), load(rights + i), vectors)


@cached_cfunc(2)
def dots(frame, item):
    """Arguments targets [V, D], sources [V, D], flags [V, K] and [O], ring [V, K], overflow targets [O] and sources
    [O]; results [V, K] and [O]; plan: kernel, items, tiles of vertices. The items after those are tiles of overflow.

    What is wanted is as good as random, so it is listed without branches: what is not wanted gets overwritten."""
    tiles = plan(frame, 2)
    targets, sources = data(frame, 0), data(frame, 1)
    rows, row_bytes, slots = dimension(frame, 0, 0), 4 * dimension(frame, 0, 1), dimension(frame, 4, 1)
    places, lefts, rights = place_list(), left_list(), right_list()
    absent, vectors, listed = rows - 1, row_bytes // (4 * LANES), 0
    if item < tiles:
        wanted, out, ring = data(frame, 2), result(frame, 0), data(frame, 4)
        first, end = item * TILE, min(rows, (item + 1) * TILE)
        fill_zero(out + 4 * first * slots, 4 * (end - first) * slots)
        for row in range(first, min(end, absent)):
            start = row * slots
            for edge in range(start, start + used_slots(ring + 4 * start, slots, absent)):
                source = load_index(ring + 4 * edge)
                store(places + 8 * listed, out + 4 * edge)
                store(lefts + 8 * listed, targets + row * row_bytes)
                store(rights + 8 * listed, sources + source * row_bytes)
                listed += (load_flag(wanted + edge) != 0) & (source < absent)
                if listed == LISTED:
                    store_dots(listed, places, lefts, rights, vectors)
                    listed = 0
    else:
        wanted, out, extra_targets, extra_sources = data(frame, 3), result(frame, 1), data(frame, 5), data(frame, 6)
        first = (item - tiles) * EDGE_TILE
        end = min(dimension(frame, 5, 0), first + EDGE_TILE)
        fill_zero(out + 4 * first, 4 * (end - first))
        for edge in range(first, end):
            target, source = load_index(extra_targets + 4 * edge), load_index(extra_sources + 4 * edge)
            store(places + 8 * listed, out + 4 * edge)
            store(lefts + 8 * listed, targets + target * row_bytes)
            store(rights + 8 * listed, sources + source * row_bytes)
            listed += (load_flag(wanted + edge) != 0) & (source < absent) & (target < absent)
            if listed == LISTED:
                store_dots(listed, places, lefts, rights, vectors)
                listed = 0
    store_dots(listed, places, lefts, rights, vectors)
    return 0


@njit(error_model="numpy")
def first_of(sorted_targets, count, target):
    """The first overflow edge whose target is not below `target`."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if load_index(sorted_targets + 4 * middle) < target:
            low = middle + 1
        else:
            high = middle
    return low


@njit(error_model="numpy")
def list_edge(listed, weights, rows, source, edge, values):
    """Lists the weight of an edge, by its flat id, and the row of its source; returns the number of what is listed.
    Without branches that chance decides: what adds nothing gets overwritten."""
    slot_weights, slot_count, extra_weights, extra_count, sources, absent, columns = values
    known = edge < slot_count + extra_count
    weight = slot_weights
    if edge < slot_count:
        weight += 4 * edge
    elif known:
        weight = extra_weights + 4 * (edge - slot_count)
    store(weights + 8 * listed, weight)
    store(rows + 8 * listed, sources + 4 * source * columns)
    return listed + ((source < absent) & known & (load_index(weight) != 0))


@njit(error_model="numpy")
def add_row(row, extra, opposite, values, tables, out):
    """Adds the weighted sources of one vertex to its row of the result; returns the first overflow edge after it."""
    slot_count, extra_count, absent, columns = values[1], values[3], values[5], values[6]
    ring, slots, reverse, extra_targets, extra_sources, extra_reverse = tables
    weights, rows = weight_list(), source_list()
    listed, start = 0, row * slots
    for edge in range(start, start + used_slots(ring + 4 * start, slots, absent)):
        weighing = load_index(reverse + 4 * edge) if opposite else edge
        listed = list_edge(listed, weights, rows, load_index(ring + 4 * edge), weighing, values)
        if listed == LISTED:
            add_weighted(listed, weights, rows, out, columns)
            listed = 0
    while extra < extra_count and load_index(extra_targets + 4 * extra) == row:
        weighing = load_index(extra_reverse + 4 * extra) if opposite else slot_count + extra
        listed = list_edge(listed, weights, rows, load_index(extra_sources + 4 * extra), weighing, values)
        extra += 1
        if listed == LISTED:
            add_weighted(listed, weights, rows, out, columns)
            listed = 0
    if listed > 0:
        add_weighted(listed, weights, rows, out, columns)
    return extra


@cached_cfunc(2)
def sums(frame, item):
    """Arguments weights [V, K] and [O], sources [V, D], ring [V, K], reverse [V, K], overflow targets, sources and
    reverse [O]; result [V, D]; plan: kernel, items, opposite?. An item is a tile of vertices."""
    opposite, slots, extra_count = plan(frame, 2) != 0, dimension(frame, 3, 1), dimension(frame, 1, 0)
    rows, columns, sources = dimension(frame, 2, 0), dimension(frame, 2, 1), data(frame, 2)
    values = (data(frame, 0), rows * slots, data(frame, 1), extra_count, sources, rows - 1, columns)
    tables = (data(frame, 3), slots, data(frame, 4), data(frame, 5), data(frame, 6), data(frame, 7))
    start = item * TILE
    end = min(rows, start + TILE)
    out = result(frame, 0) + 4 * start * columns
    fill_zero(out, 4 * (end - start) * columns)
    extra = first_of(tables[3], extra_count, start)
    for row in range(start, min(end, rows - 1)):
        extra = add_row(row, extra, opposite, values, tables, out)
        out += 4 * columns
    return 0
