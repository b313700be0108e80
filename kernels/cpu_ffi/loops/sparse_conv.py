"""The work of the sparse convolutions on CPU: exact products of the pairs that a table lists.

A tile of rows is computed at a time; for each tap of the table the pairs that exist in the tile are listed and
multiplied with that tap's matrix. Table entries beyond the rows of the source are treated as absent.
"""

from numba import njit

from kernels.cpu_ffi.loops.simd import multiply_columns, outer_columns
from kernels.cpu_ffi.runtime.cache import cached_cfunc
from kernels.cpu_ffi.runtime.call_frame import data, dimension, plan, result
from kernels.cpu_ffi.runtime.memory import fill_zero, load_index, prefetch, stack, store

TILE = 128
"""Rows of the result per item of `gather_gemm`; they stay in the first-level cache."""
SLOT_TILE = 512
"""The same for `slot_gemm`, where only one of eight rows meets a matrix."""

first_list, second_list = stack(8 * SLOT_TILE), stack(8 * SLOT_TILE)


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
    """Lists the addresses of the source rows that one column of the table names and of their rows of the tile; returns
    their number. Without branches: what is absent gets overwritten. `column`, `source` and `target` are a first address
    and the bytes per row, `lists` the addresses of both lists."""
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


@njit(error_model="numpy")
def zero_columns(target, rows, columns, first, last):
    if last - first == columns:
        fill_zero(target, 4 * rows * columns)
        return
    for row in range(rows):
        fill_zero(target + 4 * (row * columns + first), 4 * (last - first))


@cached_cfunc(2)
def multiply(frame, item):
    """Both products. Arguments source [M, A], kernel [T, A, B], table [N, T] or slots [N]; result [N, B]; plan: kernel,
    items, by slots?, groups of columns, columns per group. An item is one group of columns of one tile."""
    by_slots, groups, step = plan(frame, 2), plan(frame, 3), plan(frame, 4)
    source, weights, table = data(frame, 0), data(frame, 1), data(frame, 2)
    absent, depth = dimension(frame, 0, 0) - 1, dimension(frame, 0, 1)
    taps, columns, total = dimension(frame, 1, 0), dimension(frame, 1, 2), dimension(frame, 2, 0)
    tile = SLOT_TILE if by_slots else TILE
    start, group = item // groups * tile, item % groups
    first, last, rows = group * step, min(columns, (group + 1) * step), min(tile, total - start)
    target, lists = result(frame, 0) + 4 * start * columns, (first_list(), second_list())
    zero_columns(target, rows, columns, first, last)
    if by_slots:
        table += 4 * start
    else:
        table += 4 * taps * start
        rows = used_rows(table, taps, rows, absent)
    for tap in range(taps):
        if by_slots:
            pairs = list_octant((table, tap), rows, absent, (source, 4 * depth), (target, 4 * columns), lists)
        else:
            column = table + 4 * tap, 4 * taps
            pairs = list_tap(column, rows, absent, (source, 4 * depth), (target, 4 * columns), lists)
        if pairs > 0:
            matrix = weights + 4 * tap * depth * columns
            multiply_columns((pairs, lists[0], lists[1]), first, last, matrix, 4 * columns, depth)
    return 0


@cached_cfunc(2)
def sum_outer(frame, item):
    """Arguments rows [N, A], source [M, B], table [N, T]; result [parts, T, A, B], sums over fixed parts of the rows;
    plan: kernel, items, parts, groups of taps. An item is one group of taps of one part."""
    parts, groups = plan(frame, 2), plan(frame, 3)
    rows, source, table = data(frame, 0), data(frame, 1), data(frame, 2)
    total, width = dimension(frame, 0, 0), dimension(frame, 0, 1)
    absent, columns, taps = dimension(frame, 1, 0) - 1, dimension(frame, 1, 1), dimension(frame, 2, 1)
    part, group = item // groups, item % groups
    tiles = (total + TILE - 1) // TILE
    begin, end = part * tiles // parts, (part + 1) * tiles // parts
    first, last = group * taps // groups, (group + 1) * taps // groups
    out, rights, lefts = result(frame, 0) + 4 * part * taps * width * columns, first_list(), second_list()
    fill_zero(out + 4 * first * width * columns, 4 * (last - first) * width * columns)
    for start in range(begin * TILE, end * TILE, TILE):
        tile_table = table + 4 * taps * start
        here = used_rows(tile_table, taps, min(TILE, total - start), absent)
        left = rows + 4 * start * width
        for tap in range(first, last):
            column = tile_table + 4 * tap, 4 * taps
            pairs = list_tap(column, here, absent, (source, 4 * columns), (left, 4 * width), (rights, lefts))
            if pairs > 0:
                outer_columns((pairs, lefts, rights), out + 4 * tap * width * columns, width, columns)
    return 0
