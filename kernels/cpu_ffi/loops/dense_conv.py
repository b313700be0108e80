"""The work of image convolutions on CPU: implicit matrix products over the pairs of pixels that a tap connects. What
lies outside of the image is not multiplied.

Tap (i, j) connects the result's pixel (h, w) with the source's pixel ((h * up + i - before) / down,
(w * up + j - before) / down) where these are whole numbers inside the image. In a convolution `up` is the stride and
`down` 1, in its input gradient the other way round; `down` is a power of two.
"""

from numba import njit

from kernels.cpu_ffi.loops.simd import LANES, outer_products_1, outer_products_2, row_products_1, row_products_2
from kernels.cpu_ffi.runtime.cache import cached_cfunc
from kernels.cpu_ffi.runtime.call_frame import data, dimension, plan, result
from kernels.cpu_ffi.runtime.memory import fill_zero, stack, store

TILE = 192
"""Pixels of the result per item: whole lines of common images, and whole register blocks."""
PANEL = 2 * LANES
"""Columns of the result that are summed together; the weights of a panel lie side by side."""

# Numbers of the plan, after kernel and items.
HEIGHT, WIDTH, SOURCE_HEIGHT, SOURCE_WIDTH, UP, SHIFT, BEFORE, SIDE, REST = 2, 3, 4, 5, 6, 7, 8, 9, 10
"""Of the result and of the source; `up`, log2(down), `before`; taps per axis; the first number of one kernel alone."""

source_list, target_list = stack(8 * TILE), stack(8 * TILE)


@njit(error_model="numpy")
def list_tap(frame, tap, pixels, source, target, lists):
    """Lists the addresses of the source pixels that a tap connects with some pixels of the result (the first one and
    their number), and those of the latter; returns the number of pairs. `source` and `target` are a first address and
    the bytes per pixel, `lists` the addresses of both lists."""
    start, rows = pixels
    (source, source_bytes), (target, target_bytes) = source, target
    sources, targets = lists
    height, width, up, shift = plan(frame, HEIGHT), plan(frame, WIDTH), plan(frame, UP), plan(frame, SHIFT)
    source_height, source_width = plan(frame, SOURCE_HEIGHT), plan(frame, SOURCE_WIDTH)
    side, fraction = plan(frame, SIDE), (1 << shift) - 1
    i, j = tap // side - plan(frame, BEFORE), tap % side - plan(frame, BEFORE)
    pairs, end = 0, target + rows * target_bytes
    line, w = start // width, start % width
    while target < end:
        stop = min(end, target + (width - w) * target_bytes)
        y, x = line % height * up + i, w * up + j
        if y >= 0 and y & fraction == 0 and y >> shift < source_height:
            source_line = source + (line // height * source_height + (y >> shift)) * source_width * source_bytes
            while target < stop:  # without branches: what lies outside gets overwritten
                store(sources + 8 * pairs, source_line + (x >> shift) * source_bytes)
                store(targets + 8 * pairs, target)
                pairs += (x >= 0) & (x & fraction == 0) & (x >> shift < source_width)
                target += target_bytes
                x += up
        target, line, w = stop, line + 1, 0
    return pairs


@cached_cfunc(2)
def convolve(frame, item):
    """Arguments source [N, H', W', A], weights [panels, T, A, LANES or PANEL]; result [N, H, W, B]; last number of the
    plan: groups of panels. An item is one group of one tile."""
    groups, depth = plan(frame, REST), dimension(frame, 1, 2)
    panels, taps, width = dimension(frame, 1, 0), dimension(frame, 1, 1), dimension(frame, 1, 3)
    total = dimension(frame, 0, 0) * plan(frame, HEIGHT) * plan(frame, WIDTH)
    start, group = item // groups * TILE, item % groups
    first, last = group * panels // groups, (group + 1) * panels // groups
    columns, rows = panels * width, min(TILE, total - start)
    target, sources, targets = result(frame, 0) + 4 * start * columns, source_list(), target_list()
    source = data(frame, 0), 4 * depth
    for row in range(rows):
        fill_zero(target + 4 * (row * columns + first * width), 4 * (last - first) * width)
    for tap in range(taps):
        pairs = list_tap(frame, tap, (start, rows), source, (target, 4 * columns), (sources, targets))
        if pairs == 0:
            continue
        for panel in range(first, last):
            matrix, column = data(frame, 1) + 4 * (panel * taps + tap) * depth * width, 4 * panel * width
            if width == PANEL:
                row_products_2((pairs, sources, targets), column, matrix, 4 * width, depth)
            else:
                row_products_1((pairs, sources, targets), column, matrix, 4 * width, depth)
    return 0


@njit(error_model="numpy")
def add_outer(lists, out, width, columns, first, last):
    """Columns first .. last (whole vectors) of out [width, columns] += left^T right over the listed pairs."""
    c = first
    while c + PANEL <= last:
        outer_products_2(lists, 4 * c, out + 4 * c, 4 * columns, width)
        c += PANEL
    if c < last:
        outer_products_1(lists, 4 * c, out + 4 * c, 4 * columns, width)


@cached_cfunc(2)
def sum_outer(frame, item):
    """Arguments source [N, H', W', A], cotangent [N, H, W, B]; result [parts, T, A, B], sums over fixed parts of the
    pixels; last numbers of the plan: parts, groups of taps, columns per slice. An item is one group of taps of one
    slice of columns of one part."""
    parts, groups, step = plan(frame, REST), plan(frame, REST + 1), plan(frame, REST + 2)
    width, columns, taps = dimension(frame, 0, 3), dimension(frame, 1, 3), plan(frame, SIDE) * plan(frame, SIDE)
    total = dimension(frame, 1, 0) * plan(frame, HEIGHT) * plan(frame, WIDTH)
    part, group, begin = item % parts, item // parts % groups, item // parts // groups * step
    end, matrix_bytes, tiles = min(columns, begin + step), 4 * width * columns, (total + TILE - 1) // TILE
    out, lefts, rights = result(frame, 0) + part * taps * matrix_bytes, source_list(), target_list()
    first, last = group * taps // groups, (group + 1) * taps // groups
    for row in range(first * width, last * width):
        fill_zero(out + 4 * (row * columns + begin), 4 * (end - begin))
    for tile in range(part * tiles // parts, (part + 1) * tiles // parts):
        start = tile * TILE
        right, rows = data(frame, 1) + 4 * start * columns, min(TILE, total - start)
        for tap in range(first, last):
            source = data(frame, 0), 4 * width
            pairs = list_tap(frame, tap, (start, rows), source, (right, 4 * columns), (lefts, rights))
            if pairs > 0:
                add_outer((pairs, lefts, rights), out + tap * matrix_bytes, width, columns, begin, end)
    return 0
