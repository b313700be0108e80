"""The work of one-ring attention on CPU: dot products along edges, and weighted sums over the ring of each vertex.

What names vertices and edges beyond the arrays is treated as absent. Which edges are wanted is as good as random, so
they are listed without branches: an entry that is not wanted gets overwritten by the next one.
"""

from numba import njit

from kernels.cpu_ffi.loops.simd import LANES, add_weighted, store_dot
from kernels.cpu_ffi.runtime.call_frame import cached_cfunc, data, dimension, plan, result
from kernels.cpu_ffi.runtime.memory import ZERO, fill_zero, load, load_flag, load_index, stack_buffer, store

TILE = 256
"""Vertices per item."""
EDGE_TILE = 1024
"""Overflow edges per item."""
LISTED = 256
"""Edges of one vertex that are summed at a time."""

weight_list, source_list = stack_buffer(8 * LISTED), stack_buffer(8 * LISTED)
place_list, left_list, right_list = stack_buffer(8 * LISTED), stack_buffer(8 * LISTED), stack_buffer(8 * LISTED)


@njit(error_model="numpy")
def used_slots(ring_row, slots, absent):
    """Slots of a vertex without the absent ones at its end, to a pair."""
    nothing = absent | absent << 32
    while slots >= 2 and load(ring_row + 4 * slots - 8) == nothing:
        slots -= 2
    return slots


@njit(error_model="numpy")
def store_dots(count, places, lefts, rights, vectors):
    """Writes the products of the listed pairs of rows to the listed places; returns the list's new length, zero."""
    for i in range(0, 8 * count, 8):
        store_dot(load(places + i), load(lefts + i), load(rights + i), vectors)
    return 0


@cached_cfunc(2)
def dots(frame, item):
    """One item, a tile of vertices or, after those, of overflow edges; results [V, K] and [O].

    Arguments: targets [V, D], sources [V, D], flags [V, K] and [O], ring [V, K], overflow targets [O] and sources [O].
    Plan: kernel, items, tiles of vertices.
    """
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
                    listed = store_dots(listed, places, lefts, rights, vectors)
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
                listed = store_dots(listed, places, lefts, rights, vectors)
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
def list_edges(listed, edges, tables, weights, features, sink):
    """Lists the weights and source rows of some edges, and adds them to a row of the result whenever the list is full.

    `edges` are the first and the last one of a list, and the flat id of its edge 0; `tables` its sources and opposite
    edges. A weight is found by flat id: the opposite edge's, unless that table is 0. Returns how many remain listed.
    """
    (first, last, base), (sources, opposites), (rows, absent, columns) = edges, tables, features
    slot_weights, slot_count, extra_weights, extra_count = weights
    listed_weights, listed_rows, out = sink
    for edge in range(first, last):
        number = load_index(opposites + 4 * edge) if opposites != 0 else base + edge
        known, weight = number < slot_count + extra_count, slot_weights
        if number < slot_count:
            weight += 4 * number
        elif known:
            weight = extra_weights + 4 * (number - slot_count)
        source = load_index(sources + 4 * edge)
        store(listed_weights + 8 * listed, weight)
        store(listed_rows + 8 * listed, rows + 4 * source * columns)
        listed += (source < absent) & known & (load_index(weight) != 0)
        if listed == LISTED:
            listed = add_weighted(listed, (listed_weights, listed_rows), out, columns)
    return listed


@cached_cfunc(2)
def sums(frame, item):
    """One item, a tile of vertices; result [V, D]. Plan: kernel, items, 1 for weights of the opposite edges, else 0.

    Arguments: weights [V, K] and [O], sources [V, D], ring [V, K], reverse [V, K], overflow targets, sources and
    reverse [O].
    """
    slots, extra_count = dimension(frame, 3, 1), dimension(frame, 1, 0)
    rows, columns = dimension(frame, 2, 0), dimension(frame, 2, 1)
    weights, features = (data(frame, 0), rows * slots, data(frame, 1), extra_count), (data(frame, 2), rows - 1, columns)
    tables, extra_tables = (data(frame, 3), data(frame, 4)), (data(frame, 6), data(frame, 7))
    if plan(frame, 2) == 0:
        tables, extra_tables = (tables[0], 0), (extra_tables[0], 0)
    start = item * TILE
    end, out = min(rows, start + TILE), result(frame, 0) + 4 * start * columns
    fill_zero(out, 4 * (end - start) * columns)
    extra = first_of(data(frame, 5), extra_count, start)
    listed_weights, listed_rows = weight_list(), source_list()
    for row in range(start, min(end, rows - 1)):
        sink, first, own = (listed_weights, listed_rows, out), row * slots, extra
        while extra < extra_count and load_index(data(frame, 5) + 4 * extra) == row:
            extra += 1
        last = first + used_slots(tables[0] + 4 * first, slots, rows - 1)
        listed = list_edges(ZERO, (first, last, ZERO), tables, weights, features, sink)
        listed = list_edges(listed, (own, extra, rows * slots), extra_tables, weights, features, sink)
        if listed > 0:
            add_weighted(listed, (listed_weights, listed_rows), out, columns)
        out += 4 * columns
    return 0
