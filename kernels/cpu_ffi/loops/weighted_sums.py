"""The work of the trilinear read-out and of pooling on CPU: weighted sums of rows.

The rows are those that a table names, or, which is the transpose, those that sorted segments name. What names rows or
entries beyond the arrays is treated as absent.
"""

from kernels.cpu_ffi.loops.attention import first_of
from kernels.cpu_ffi.loops.simd import add_weighted
from kernels.cpu_ffi.runtime.call_frame import cached_cfunc, data, dimension, plan, result
from kernels.cpu_ffi.runtime.memory import fill_zero, load_index, prefetch, stack_buffer, store

TILE = 256
"""Rows of the result per item."""
LISTED = 256
"""Rows that are summed at a time."""

weight_list, row_list = stack_buffer(8 * LISTED), stack_buffer(8 * LISTED)


@cached_cfunc(2)
def table_sums(frame, item):
    """One item, a tile of rows: source [M, C], weights [N, T], table [N, T], T <= LISTED; result [N, C]."""
    source, weights, table = data(frame, 0), data(frame, 1), data(frame, 2)
    absent, columns = dimension(frame, 0, 0) - 1, dimension(frame, 0, 1)
    start, taps = item * TILE, dimension(frame, 2, 1)
    end = min(dimension(frame, 2, 0), start + TILE)
    out = result(frame, 0) + 4 * start * columns
    fill_zero(out, 4 * (end - start) * columns)
    listed_weights, listed_rows = weight_list(), row_list()
    for row in range(start, end):
        listed = 0
        for entry in range(row * taps, (row + 1) * taps):
            index = load_index(table + 4 * entry)
            store(listed_weights + 8 * listed, weights + 4 * entry)
            store(listed_rows + 8 * listed, source + 4 * index * columns)
            listed += index < absent
        if listed > 0:
            add_weighted(listed, (listed_weights, listed_rows), out, columns)
        out += 4 * columns
    return 0


@cached_cfunc(2)
def segment_sums(frame, item):
    """One item, a tile of segments: source [M, C], weights [E] or one number, order [E], segments [E]; result [S, C].

    Plan: kernel, items, S, log2 of the entries per row of the source, 1 if there are weights, else 0. Segments ascend;
    the last one, the padding's, stays zero.
    """
    total, shift, weighted = plan(frame, 2), plan(frame, 3), plan(frame, 4)
    source, weights, order, segments = data(frame, 0), data(frame, 1), data(frame, 2), data(frame, 3)
    count, weight_count, rows = dimension(frame, 3, 0), dimension(frame, 1, 0), dimension(frame, 0, 0)
    start, columns = item * TILE, dimension(frame, 0, 1)
    end, out = min(total, start + TILE), result(frame, 0) + 4 * start * columns
    fill_zero(out, 4 * (end - start) * columns)
    listed_weights, listed_rows = weight_list(), row_list()
    entry = first_of(segments, count, start)
    for segment in range(start, min(end, total - 1)):
        listed = 0
        while entry < count and load_index(segments + 4 * entry) == segment:
            place = load_index(order + 4 * entry)
            entry += 1
            if place >> shift < rows and place * weighted < weight_count:
                address = source + 4 * (place >> shift) * columns
                prefetch(address)
                prefetch(address + 64)
                store(listed_weights + 8 * listed, weights + 4 * place * weighted)
                store(listed_rows + 8 * listed, address)
                listed += 1
            if listed == LISTED:
                listed = add_weighted(listed, (listed_weights, listed_rows), out, columns)
        if listed > 0:
            add_weighted(listed, (listed_weights, listed_rows), out, columns)
        out += 4 * columns
    return 0
