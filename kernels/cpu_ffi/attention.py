"""The work of one-ring attention on CPU: dot products along edges, and weighted sums over the ring of each vertex.

Arguments that name vertices and edges beyond the arrays are treated as absent.
"""

from numba import njit

from kernels.cpu_ffi.caching import cached_cfunc
from kernels.cpu_ffi.frame import data, dimension, plan, result
from kernels.cpu_ffi.intrinsics import fill_zero, load_flag, load_index, stack, store
from kernels.cpu_ffi.micro_kernels import LANES, add_weighted, store_dot

TILE = 256
"""Vertices per item."""
EDGE_TILE = 1024
"""Overflow edges per item."""
LISTED = 256
"""Edges of one vertex that are summed at a time."""

weight_list, source_list = stack(8 * LISTED), stack(8 * LISTED)


@njit(error_model="numpy")
def one_dot(out, wanted, target, source, absent, targets, sources, row_bytes):
    """Writes the product of two rows, or zero."""
    if load_flag(wanted) != 0 and target < absent and source < absent:
        store_dot(out, targets + target * row_bytes, sources + source * row_bytes, row_bytes // (4 * LANES))
    else:
        fill_zero(out, 4)


@cached_cfunc(2)
def dots(frame, item):
    """Arguments targets [V, D], sources [V, D], flags [V, K] and [O], ring [V, K], overflow targets [O] and sources
    [O]; results [V, K] and [O]; plan: kernel, items, tiles of vertices. The items after those are tiles of overflow."""
    tiles = plan(frame, 2)
    targets, sources, ring = data(frame, 0), data(frame, 1), data(frame, 4)
    rows, row_bytes, slots = dimension(frame, 0, 0), 4 * dimension(frame, 0, 1), dimension(frame, 4, 1)
    if item < tiles:
        wanted, out = data(frame, 2), result(frame, 0)
        for row in range(item * TILE, min(rows, (item + 1) * TILE)):
            for edge in range(row * slots, (row + 1) * slots):
                source = load_index(ring + 4 * edge)
                one_dot(out + 4 * edge, wanted + edge, row, source, rows - 1, targets, sources, row_bytes)
        return 0
    wanted, out, extra_targets, extra_sources = data(frame, 3), result(frame, 1), data(frame, 5), data(frame, 6)
    start = (item - tiles) * EDGE_TILE
    for edge in range(start, min(dimension(frame, 5, 0), start + EDGE_TILE)):
        target, source = load_index(extra_targets + 4 * edge), load_index(extra_sources + 4 * edge)
        one_dot(out + 4 * edge, wanted + edge, target, source, rows - 1, targets, sources, row_bytes)
    return 0


@njit(error_model="numpy")
def weight_address(slots, extra, slot_count, extra_count, edge):
    """Where the weight of an edge stands, by its flat id; 0 for an id out of range."""
    if edge < slot_count:
        return slots + 4 * edge
    if edge - slot_count < extra_count:
        return extra + 4 * (edge - slot_count)
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
def add_row(row, extra, opposite, frame, out, columns):
    """Adds the weighted sources of one vertex to its row of the result; returns the first overflow edge after it."""
    slot_weights, extra_weights, sources, ring = data(frame, 0), data(frame, 1), data(frame, 2), data(frame, 3)
    slots, extra_count, absent = dimension(frame, 3, 1), dimension(frame, 1, 0), dimension(frame, 2, 0) - 1
    reverse, extra_targets, extra_sources, extra_reverse = (
        data(frame, 4),
        data(frame, 5),
        data(frame, 6),
        data(frame, 7),
    )
    slot_count = dimension(frame, 3, 0) * slots
    weights, rows = weight_list(), source_list()
    listed, slot = 0, 0
    while True:
        if slot < slots:
            edge = row * slots + slot
            source, opposite_edge = load_index(ring + 4 * edge), reverse + 4 * edge
            slot += 1
        elif extra < extra_count and load_index(extra_targets + 4 * extra) == row:
            edge = slot_count + extra
            source, opposite_edge = load_index(extra_sources + 4 * extra), extra_reverse + 4 * extra
            extra += 1
        else:
            break
        if source < absent:
            if opposite:
                edge = load_index(opposite_edge)
            weight = weight_address(slot_weights, extra_weights, slot_count, extra_count, edge)
            if weight != 0 and load_index(weight) != 0:
                store(weights + 8 * listed, weight)
                store(rows + 8 * listed, sources + 4 * source * columns)
                listed += 1
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
    opposite = plan(frame, 2) != 0
    rows, columns = dimension(frame, 2, 0), dimension(frame, 2, 1)
    start = item * TILE
    end = min(rows, start + TILE)
    out = result(frame, 0) + 4 * start * columns
    fill_zero(out, 4 * (end - start) * columns)
    extra = first_of(data(frame, 5), dimension(frame, 5, 0), start)
    for row in range(start, min(end, rows - 1)):
        extra = add_row(row, extra, opposite, frame, out + 4 * (row - start) * columns, columns)
    return 0
