"""Morton order of integer cells: neighbours in space become neighbours in memory.

The code of a cell interleaves the bits of its coordinates, x highest, then y, then z, so that the last three bits are
the octant 4dx + 2dy + dz of the cell inside its parent (G. M. Morton, 1966).
"""

import numpy as np

from kernels.host.jit import compiled

AXIS_BITS = 21
"""Bits of one coordinate inside a 63-bit code, counted from the origin of the cells."""

_ALIGNMENT = 1 << (AXIS_BITS - 1)
_DIGIT_BITS = 11
_DIGIT_MASK = (1 << _DIGIT_BITS) - 1


def morton_order(coords: np.ndarray) -> np.ndarray:
    """Permutation that puts cells into Morton order; equal cells keep their order.

    Args:
        coords: integer [N, 3], cells (x, y, z) of any sign and any distance from zero.

    Returns:
        int64 [N]; `coords[morton_order(coords)]` is in Morton order.

    Raises:
        ValueError: wrong shape, or an extent beyond 2**21 cells along an axis.
        TypeError: coordinates that are not integers of at most 64 signed bits.
    """
    return argsort_codes(morton_codes(coords))


def morton_codes(coords: np.ndarray) -> np.ndarray:
    """Morton code of each cell, relative to an origin at or below the smallest coordinates.

    The origin is the minimum rounded down to a multiple of 2**20 wherever the extent leaves room for that. Halving all
    coordinates then keeps the order: the children of a cell are consecutive, and parents come in the order of their
    children. Codes of two different sets of cells cannot be compared.

    Args:
        coords: integer [N, 3].

    Returns:
        int64 [N], non-negative.

    Raises:
        ValueError, TypeError: as `morton_order`.
    """
    cells = as_cells(coords)
    codes = np.empty(len(cells), np.int64)
    if len(cells):
        low, high = box(cells)
        origin = [_origin(axis, int(low[axis]), int(high[axis])) for axis in range(3)]
        _interleave(cells, np.array(origin, np.int64), codes)
    return codes


def argsort_codes(codes: np.ndarray) -> np.ndarray:
    """Stable ascending argsort of non-negative integers: a radix sort over the digits that differ at all.

    Args:
        codes: int64 [N], non-negative.

    Returns:
        int64 [N] permutation.
    """
    keys = np.array(codes, np.int64)
    order = np.arange(len(keys), dtype=np.int64)
    varying, ascending = _varying_bits(keys)
    if ascending:
        return order
    next_keys, next_order = np.empty_like(keys), np.empty_like(order)
    for shift in range(0, 64, _DIGIT_BITS):
        if (varying >> shift) & _DIGIT_MASK:
            _sort_by_digit(keys, order, shift, next_keys, next_order)
            keys, next_keys = next_keys, keys
            order, next_order = next_order, order
    return order


def as_cells(coords: np.ndarray) -> np.ndarray:
    """Checked contiguous int64 [N, 3] of integer cells (not copied where it is one already)."""
    coords = np.asarray(coords)
    if coords.ndim != 2 or coords.shape[1] != 3:
        raise ValueError(f"cells must have shape [N, 3], got {coords.shape}")
    if coords.dtype.kind not in "iu" or not np.can_cast(coords.dtype, np.int64):
        raise TypeError(f"cells must be integers that fit int64, got {coords.dtype}")
    return np.ascontiguousarray(coords, np.int64)


def _origin(axis: int, low: int, high: int) -> int:
    aligned = low & -_ALIGNMENT
    origin = aligned if high - aligned < 1 << AXIS_BITS else low
    if high - origin >= 1 << AXIS_BITS:
        raise ValueError(
            f"axis {'xyz'[axis]} spans {high - low + 1} cells (from {low} to {high}), "
            f"more than the {1 << AXIS_BITS} that {AXIS_BITS} bits hold"
        )
    return origin


@compiled
def box(points):
    """Least and greatest coordinates, [2, 3], of at least one point or cell, float64 or int64 [N, 3]."""
    if len(points) == 0:
        raise ValueError("no cells, so no bounds")
    bounds = np.empty((2, 3), points.dtype)
    for axis in range(3):
        low = high = points[0, axis]
        for row in range(1, points.shape[0]):
            low = min(low, points[row, axis])
            high = max(high, points[row, axis])
        bounds[0, axis] = low
        bounds[1, axis] = high
    return bounds


@compiled
def floor_to_cells(points, largest, cells):
    """Writes the cells of float64 [V, 3] points to integer [V, 3].

    Returns:
        The first row that is not finite or not in -largest - 1..largest, or -1.
    """
    for row in range(points.shape[0]):
        for axis in range(3):
            value = np.floor(points[row, axis])
            if not -largest - 1 <= value <= largest:
                return row
            cells[row, axis] = np.int64(value)
    return -1


def inverse(permutation: np.ndarray) -> np.ndarray:
    """int32 [N] inverse of a permutation, int64 [N]."""
    rank = np.empty(len(permutation), np.int32)
    rank[permutation] = np.arange(len(permutation), dtype=np.int32)
    return rank


@compiled
def _spread(value):
    """Moves bit b of a 21-bit value to bit 3b."""
    value = (value | value << 32) & 0x1F00000000FFFF
    value = (value | value << 16) & 0x1F0000FF0000FF
    value = (value | value << 8) & 0x100F00F00F00F00F
    value = (value | value << 4) & 0x10C30C30C30C30C3
    return (value | value << 2) & 0x1249249249249249


@compiled
def _interleave(cells, origin, codes):
    for row in range(cells.shape[0]):
        x = _spread(cells[row, 0] - origin[0])
        y = _spread(cells[row, 1] - origin[1])
        z = _spread(cells[row, 2] - origin[2])
        codes[row] = x << 2 | y << 1 | z


@compiled
def _varying_bits(keys):
    """The bits in which keys differ, and whether they ascend already."""
    varying = np.int64(0)
    ascending = True
    for row in range(1, keys.shape[0]):
        varying |= keys[row] ^ keys[0]
        ascending &= keys[row - 1] <= keys[row]
    return varying, ascending


@compiled
def _sort_by_digit(keys, order, shift, sorted_keys, sorted_order):
    """One stable counting sort by the digit at bit `shift`, keys and their rows together."""
    starts = np.zeros(_DIGIT_MASK + 2, np.int64)
    for row in range(keys.shape[0]):
        starts[((keys[row] >> shift) & _DIGIT_MASK) + 1] += 1
    for digit in range(_DIGIT_MASK):
        starts[digit + 1] += starts[digit]
    for row in range(keys.shape[0]):
        digit = (keys[row] >> shift) & _DIGIT_MASK
        place = starts[digit]
        starts[digit] = place + 1
        sorted_keys[place] = keys[row]
        sorted_order[place] = order[row]
