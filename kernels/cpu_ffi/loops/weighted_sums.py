"""The work of the trilinear read-out on CPU: weighted sums of the rows that a table names, and of the rows that sorted
segments name, which is its transpose (and the sum in pooling).

Arguments that name rows or entries beyond the arrays are treated as absent.
"""

from numba import njit

from kernels.cpu_ffi.loops.attention import first_of
from kernels.cpu_ffi.loops.simd import add_weighted
from kernels.cpu_ffi.runtime.cache import cached_cfunc
from kernels.cpu_ffi.runtime.call_frame import data, dimension, plan, result
from kernels.cpu_ffi.runtime.memory import fill_zero, load_index, prefetch, stack, store

TILE = 256
"""Rows of the result per item."""
LISTED = 256
"""Rows that are summed at a time."""

weight_list, source_list = stack(8 * LISTED), stack(8 * LISTED)


@cached_cfunc(2)
def table_sums(frame, item):
    """Arguments source [M, C], weights [N, T], table [N, T]; result [N, C]. An item is a tile of rows; T <= LISTED."""
    source, weights, table = data(frame, 0), data(frame, 1), data(frame, 2)
    absent, columns = dimension(frame, 0, 0) - 1, dimension(frame, 0, 1)
    total, taps = dimension(frame, 2, 0), dimension(frame, 2, 1)
    start = item * TILE
    end = min(total, start + TILE)
    out = result(frame, 0) + 4 * start * columns
    fill_zero(out, 4 * (end - start) * columns)
    weight_addresses, rows = weight_list(), source_list()
    for row in range(start, end):
        listed = 0
        for entry in range(row * taps, (row + 1) * taps):
            index = load_index(table + 4 * entry)
            store(weight_addresses + 8 * listed, weights + 4 * entry)
            store(rows + 8 * listed, source + 4 * index * columns)
            listed += index < absent
        if listed > 0:
            add_weighted(listed, weight_addresses, rows, out, columns)
        out += 4 * columns
    return 0


@njit(error_model="numpy")
def sum_segment(entry, segment, frame, out, columns):
    """Adds the entries of one segment to its row of the result; returns the first entry after it."""
    source, weights, order, segments = data(frame, 0), data(frame, 1), data(frame, 2), data(frame, 3)
    count, weight_count, rows_count = dimension(frame, 3, 0), dimension(frame, 1, 0), dimension(frame, 0, 0)
    shift, weighted = plan(frame, 3), plan(frame, 4)
    weight_addresses, rows = weight_list(), source_list()
    listed = 0
    while entry < count and load_index(segments + 4 * entry) == segment:
        place = load_index(order + 4 * entry)
        entry += 1
        if place >> shift < rows_count and place * weighted < weight_count:
            address = source + 4 * (place >> shift) * columns
            prefetch(address)
            prefetch(address + 64)
            store(weight_addresses + 8 * listed, weights + 4 * place * weighted)
            store(rows + 8 * listed, address)
            listed += 1
        if listed == LISTED:
            add_weighted(listed, weight_addresses, rows, out, columns)
            listed = 0
    if listed > 0:
        add_weighted(listed, weight_addresses, rows, out, columns)
    return entry


@cached_cfunc(2)
def segment_sums(frame, item):
    """Arguments source [N, C], weights [E] or one number for all, order [E], segments [E], ascending; result [S, C];
    plan: kernel, items, S, log2 of the entries per row of the source, 1 if there are weights, else 0. An item is a tile
    of segments; the last segment, the padding's, stays zero."""
    total, columns = plan(frame, 2), dimension(frame, 0, 1)
    start = item * TILE
    end = min(total, start + TILE)
    out = result(frame, 0) + 4 * start * columns
    fill_zero(out, 4 * (end - start) * columns)
    entry = first_of(data(frame, 3), dimension(frame, 3, 0), start)
    for segment in range(start, min(end, total - 1)):
        entry = sum_segment(entry, segment, frame, out, columns)
        out += 4 * columns
    return 0
