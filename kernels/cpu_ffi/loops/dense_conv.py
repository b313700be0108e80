"""The work of image convolutions on CPU: implicit matrix products over the pairs of pixels that a tap connects.

Tap (i, j) connects the result's pixel (h, w) with the source's pixel ((h * up + i - before) / down,
(w * up + j - before) / down) where these are whole numbers inside the image; what is outside is not multiplied. In a
convolution `up` is the stride and `down` 1, in its input gradient the other way round; `down` is a power of two.
"""

from numba import njit

from kernels.cpu_ffi.loops.simd import LANES, add_outer, multiply_rows
from kernels.cpu_ffi.runtime.call_frame import cached_cfunc, data, dimension, plan, result
from kernels.cpu_ffi.runtime.memory import fill_zero, stack_buffer, store

TILE = 192
"""Pixels of the result per item: whole lines of common images, and whole register blocks."""
PANEL = 2 * LANES
"""Columns of the result that are summed together; the weights of a panel are adjacent."""

# Numbers of the plan, after kernel and items.
HEIGHT, WIDTH, SOURCE_HEIGHT, SOURCE_WIDTH, UP, SHIFT, BEFORE, SIDE, REST = 2, 3, 4, 5, 6, 7, 8, 9, 10
"""Of the result and of the source; `up`, log2(down), `before`; taps per axis; the first number of one kernel alone."""

source_list, target_list = stack_buffer(8 * TILE), stack_buffer(8 * TILE)


@njit(error_model="numpy")
def list_tap(frame, tap, pixels, source, target, lists):
    """Lists the addresses of the source pixels that a tap connects with some pixels of the result, and of those.

    `pixels` are the first one and their number, `source` and `target` a first address and the bytes per pixel. Returns
    the number of pairs.
    """
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
            while target < stop:  # without branches: what is outside gets overwritten
                store(sources + 8 * pairs, source_line + (x >> shift) * source_bytes)
                store(targets + 8 * pairs, target)
                pairs += (x >= 0) & (x & fraction == 0) & (x >> shift < source_width)
                target += target_bytes
                x += up
        target, line, w = stop, line + 1, 0
    return pairs


@cached_cfunc(2)
def convolve(frame, item):
    """One item, a group of panels of a tile: source [N, H', W', A], weights [panels, T, A, LANES or PANEL].

    The result is [N, H, W, B]; the last number of the plan: groups of panels.
    """
    groups, depth = plan(frame, REST), dimension(frame, 1, 2)
    panels, taps, width = dimension(frame, 1, 0), dimension(frame, 1, 1), dimension(frame, 1, 3)
    total = dimension(frame, 0, 0) * plan(frame, HEIGHT) * plan(frame, WIDTH)
    start, group = item // groups * TILE, item % groups
    first, last = group * panels // groups, (group + 1) * panels // groups
    columns, rows, lists = panels * width, min(TILE, total - start), (source_list(), target_list())
    source, out = (data(frame, 0), 4 * depth), result(frame, 0) + 4 * start * columns
    for row in range(rows):
        fill_zero(out + 4 * (row * columns + first * width), 4 * (last - first) * width)
    for tap in range(taps):
        pairs = list_tap(frame, tap, (start, rows), source, (out, 4 * columns), lists)
        if pairs == 0:
            continue
        for panel in range(first, last):
            column = panel * width
            matrix = data(frame, 1) + 4 * ((panel * taps + tap) * depth * width - column), 4 * width
            multiply_rows(lists, pairs, (column, column + width), matrix, depth)
    return 0


@cached_cfunc(2)
def sum_outer(frame, item):
    """One item, a group of taps of a slice of columns of a part: source [N, H', W', A], cotangent [N, H, W, B].

    The results [parts, T, A, B] are sums over fixed parts of the pixels. The last numbers of the plan: parts, groups of
    taps, columns per slice.
    """
    parts, groups, step = plan(frame, REST), plan(frame, REST + 1), plan(frame, REST + 2)
    width, columns, taps = dimension(frame, 0, 3), dimension(frame, 1, 3), plan(frame, SIDE) * plan(frame, SIDE)
    total = dimension(frame, 1, 0) * plan(frame, HEIGHT) * plan(frame, WIDTH)
    part, group, begin = item % parts, item // parts % groups, item // parts // groups * step
    end, size, tiles = min(columns, begin + step), 4 * width * columns, (total + TILE - 1) // TILE
    out, lefts, rights = result(frame, 0) + part * taps * size, source_list(), target_list()
    first, last = group * taps // groups, (group + 1) * taps // groups
    for row in range(first * width, last * width):
        fill_zero(out + 4 * (row * columns + begin), 4 * (end - begin))
    source = data(frame, 0), 4 * width
    for tile in range(part * tiles // parts, (part + 1) * tiles // parts):
        start = tile * TILE
        right, pixels = (data(frame, 1) + 4 * start * columns, 4 * columns), (start, min(TILE, total - start))
        for tap in range(first, last):
            pairs = list_tap(frame, tap, pixels, source, right, (lefts, rights))
            if pairs > 0:
                add_outer((lefts, rights), width, (begin, end), (out + tap * size, 4 * columns), pairs)
    return 0
