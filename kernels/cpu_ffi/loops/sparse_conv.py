"""The work of the sparse convolutions on CPU: exact products of the pairs that a table lists.

A tile of rows is computed at a time; for each tap of the table the pairs that exist in the tile are listed and
multiplied with that tap's matrix. Table entries beyond the rows of the source are treated as absent.
"""

from numba import njit

from kernels.cpu_ffi.loops.simd import add_outer, multiply_rows
from kernels.cpu_ffi.runtime.call_frame import cached_cfunc, data, dimension, plan, result
from kernels.cpu_ffi.runtime.memory import fill_zero, load_index, prefetch, stack_buffer, store

TILE = 128
"""Rows of the result per item of `gather_gemm`; they stay in the first-level cache."""
SLOT_TILE = 512
"""The same for `slot_gemm`, where only one of eight rows meets a matrix."""

first_list, second_list = stack_buffer(8 * SLOT_TILE), stack_buffer(8 * SLOT_TILE)


@njit(error_model="numpy")
def used_rows(table, taps, rows, absent):
    """Rows of a tile of the table without those at its end that have no entry: padding costs one look at it."""
    while rows > 0:
        row = table + 4 * taps * (rows - 1)
        for tap in range(taps):
            if load_index(row + 4 * tap) < absent:
                return rows
        rows -= 1
    return rows


@njit(error_model="numpy")
def list_tap(column, rows, absent, source, target, lists):
    """Lists the addresses of the source rows that one column of a tile of the table names, and of the tile's rows.

    `column`, `source` and `target` are a first address and the bytes per row. Returns the number of pairs. There are no
    branches: what is absent gets overwritten.
    """
    (column, row_bytes), (source, source_bytes), (target, target_bytes) = column, source, target
    sources, targets = lists
    pairs = 0
    for row in range(rows):
        index = load_index(column + row * row_bytes)
        address = source + index * source_bytes
        prefetch(address)
        prefetch(address + 64)
        store(sources + 8 * pairs, address)
        store(targets + 8 * pairs, target + row * target_bytes)
        pairs += index < absent
    return pairs


@njit(error_model="numpy")
def list_octant(slots, rows, absent, source, target, lists):
    """The same for slots (an address and an octant): the rows of the tile in that octant of their parents."""
    (slots, octant), (source, source_bytes), (target, target_bytes) = slots, source, target
    sources, targets = lists
    pairs = 0
    for row in range(rows):
        slot = load_index(slots + 4 * row)
        store(sources + 8 * pairs, source + (slot >> 3) * source_bytes)
        store(targets + 8 * pairs, target + row * target_bytes)
        pairs += (slot & 7 == octant) & (slot >> 3 < absent)
    return pairs


@cached_cfunc(2)
def multiply(frame, item):
    """One item, a group of columns of a tile: source [M, A], kernel [T, A, B], table [N, T] or slots [N].

    The result is [N, B]; plan: kernel, items, 1 for slots else 0, groups of columns, columns per group.
    """
    by_slots, groups, step = plan(frame, 2), plan(frame, 3), plan(frame, 4)
    weights, table = data(frame, 1), data(frame, 2)
    absent, depth = dimension(frame, 0, 0) - 1, dimension(frame, 0, 1)
    taps, columns = dimension(frame, 1, 0), dimension(frame, 1, 2)
    tile = SLOT_TILE if by_slots else TILE
    start, first = item // groups * tile, item % groups * step
    last, rows = min(columns, first + step), min(tile, dimension(frame, 2, 0) - start)
    out, lists = result(frame, 0) + 4 * start * columns, (first_list(), second_list())
    for row in range(rows):
        fill_zero(out + 4 * (row * columns + first), 4 * (last - first))
    table += 4 * start * (1 if by_slots else taps)
    if not by_slots:
        rows = used_rows(table, taps, rows, absent)
    source, target = (data(frame, 0), 4 * depth), (out, 4 * columns)
    for tap in range(taps):
        if by_slots:
            pairs = list_octant((table, tap), rows, absent, source, target, lists)
        else:
            pairs = list_tap((table + 4 * tap, 4 * taps), rows, absent, source, target, lists)
        if pairs > 0:
            matrix = weights + 4 * tap * depth * columns, 4 * columns
            multiply_rows(lists, pairs, (first, last), matrix, depth)
    return 0


@cached_cfunc(2)
def sum_outer(frame, item):
    """One item, a group of taps of a part of the rows: rows [N, A], source [M, B], table [N, T].

    The results [parts, T, A, B] are sums over fixed parts of the rows; plan: kernel, items, parts, groups of taps.
    """
    parts, groups = plan(frame, 2), plan(frame, 3)
    total, width = dimension(frame, 0, 0), dimension(frame, 0, 1)
    absent, columns, taps = dimension(frame, 1, 0) - 1, dimension(frame, 1, 1), dimension(frame, 2, 1)
    part, group, tiles, size = item // groups, item % groups, (total + TILE - 1) // TILE, 4 * width * columns
    first, last = group * taps // groups, (group + 1) * taps // groups
    out, rights, lefts = result(frame, 0) + part * taps * size, first_list(), second_list()
    fill_zero(out + first * size, (last - first) * size)
    for tile in range(part * tiles // parts, (part + 1) * tiles // parts):
        table, left = data(frame, 2) + 4 * taps * tile * TILE, (data(frame, 0) + 4 * width * tile * TILE, 4 * width)
        rows = used_rows(table, taps, min(TILE, total - tile * TILE), absent)
        for tap in range(first, last):
            column, right = (table + 4 * tap, 4 * taps), (data(frame, 1), 4 * columns)
            pairs = list_tap(column, rows, absent, right, left, (rights, lefts))
            if pairs > 0:
                add_outer((lefts, rights), width, (0, columns), (out + tap * size, 4 * columns), pairs)
    return 0
