"""An open-addressing hash from cells to rows, and the tables that are made by looking cells up.

A cell becomes one int64 key: its offset from the smallest cell, 21 bits an axis, with one empty layer on every side, so
that the key of a neighbour is the key plus a constant and never runs into another line of cells. The table has a power
of two of entries, at most half of them taken (linear probing and the multiplicative hash: Knuth, TAOCP vol. 3, 6.4).
"""

from typing import NamedTuple

import numpy as np

from kernels.host.jit import compiled
from kernels.host.voxel.morton import AXIS_BITS, as_cells, box

MAX_EXTENT = (1 << AXIS_BITS) - 2
"""Cells along an axis that a hash can hold: 21 bits less the two empty layers."""

_EMPTY = -1
_X = 1 << 2 * AXIS_BITS
_Y = 1 << AXIS_BITS
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio
_SMALLEST_TABLE = 16
_OCTANTS = tuple(dx * _X + dy * _Y + dz for dx in (0, 1) for dy in (0, 1) for dz in (0, 1))
_FORWARD_KEYS = np.array([(k // 9 - 1) + (k // 3 % 3 - 1) * _Y + (k % 3 - 1) * _X for k in range(14, 27)], np.int64)


class VoxelHash(NamedTuple):
    """Which row each cell of a set has; made by `build_hash`.

    Attributes:
        keys: int64 [T], T a power of two; the packed cell of an entry, -1 where the entry is free.
        rows: int32 [T], the row of that cell, -1 where the entry is free.
        origin: int64 [3], smallest coordinates.
        extent: int64 [3], largest minus smallest coordinates plus one; 0 for no cells.
    """

    keys: np.ndarray
    rows: np.ndarray
    origin: np.ndarray
    extent: np.ndarray


def build_hash(coords: np.ndarray) -> VoxelHash:
    """Hash of the rows of distinct cells.

    Args:
        coords: integer [P, 3], distinct cells of any sign, in any order.

    Returns:
        VoxelHash; equal inputs give equal bytes.

    Raises:
        ValueError: wrong shape, a cell that occurs twice, or more than MAX_EXTENT cells along an axis.
        TypeError: coordinates that are not integers of at most 64 signed bits.
    """
    cells = as_cells(coords)
    origin, extent = np.zeros(3, np.int64), np.zeros(3, np.int64)
    if len(cells):
        low, high = box(cells)
        for axis in range(3):
            span = int(high[axis]) - int(low[axis]) + 1
            if span > MAX_EXTENT:
                raise ValueError(
                    f"axis {'xyz'[axis]} spans {span} cells (from {low[axis]} to {high[axis]}), "
                    f"more than the {MAX_EXTENT} that a hash holds"
                )
        origin, extent = low, high - low + 1
    size = max(_SMALLEST_TABLE, 1 << (2 * len(cells) - 1).bit_length())
    keys, rows = np.full(size, _EMPTY, np.int64), np.full(size, -1, np.int32)
    earlier, later = _insert(cells, origin, keys, rows)
    if later >= 0:
        raise ValueError(f"rows {earlier} and {later} hold the same cell {tuple(cells[later].tolist())}")
    return VoxelHash(keys, rows, origin, extent)


def count_cells(table: VoxelHash) -> int:
    """Number of cells that a hash holds.

    Raises:
        ValueError: no hash that `build_hash` could have made, judged by types, lengths and the number of free entries.
    """
    size, count = len(table.keys), int(np.count_nonzero(table.rows >= 0))
    types = [array.dtype for array in table] == [np.int64, np.int32, np.int64, np.int64]
    lengths = [array.shape for array in table] == [(size,), (size,), (3,), (3,)]
    if not types or not lengths or size < _SMALLEST_TABLE or size & (size - 1) or 2 * count > size:
        shapes = [f"{array.dtype} {array.shape}" for array in table]
        raise ValueError(f"not a hash of cells: {count} rows in keys, rows, origin, extent of {', '.join(shapes)}")
    return count


def lookup(table: VoxelHash, coords: np.ndarray) -> np.ndarray:
    """Row of each cell.

    Args:
        table: a hash of P cells.
        coords: integer [N, 3], cells anywhere; they may repeat.

    Returns:
        int32 [N], -1 for a cell that the hash does not hold.

    Raises:
        ValueError, TypeError: a wrong shape or type, or as `count_cells`.
    """
    return _lookup_steps(table, coords, (0,)).ravel()


def lookup_octants(table: VoxelHash, bases: np.ndarray) -> np.ndarray:
    """Rows of the 2 x 2 x 2 cells `base + (dx, dy, dz)`, dx, dy, dz in {0, 1}.

    Args:
        table: a hash of P cells.
        bases: integer [N, 3], the lower corner of each block, anywhere.

    Returns:
        int32 [N, 8], column 4dx + 2dy + dz, -1 for a cell that the hash does not hold.

    Raises:
        ValueError, TypeError: a wrong shape or type, or as `count_cells`.
    """
    return _lookup_steps(table, bases, _OCTANTS)


def _lookup_steps(table: VoxelHash, coords: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    """int32 [N, S] rows of the cells at S steps of the key, 0 or 1 an axis, from integer [N, 3] cells."""
    count_cells(table)
    cells = as_cells(coords)
    found = np.empty((len(cells), len(steps)), np.int32)
    _lookup(cells, table, steps, found)
    return found


def neighbour_table(coords: np.ndarray, hash: VoxelHash | None = None) -> np.ndarray:
    """Rows of the 27 cells around each cell, itself included.

    Half of the neighbours are looked up; the other half are their mirror images: `nbr[nbr[i, k], 26 - k] == i`.

    Args:
        coords: integer [P, 3], distinct cells. Morton order is not required, but fast.
        hash: `build_hash(coords)`, if the caller has it already.

    Returns:
        int32 [P, 27], column (dx+1) + 3(dy+1) + 9(dz+1), x fastest, -1 for an absent cell.

    Raises:
        ValueError: as `build_hash`, or a hash of other cells.
        TypeError: as `build_hash`.
    """
    cells = as_cells(coords)
    if hash is None:
        hash = build_hash(cells)
    if count_cells(hash) != len(cells):
        raise ValueError(f"the hash holds {count_cells(hash)} cells, coords {len(cells)}")
    found = lookup(hash, cells)
    mismatched = np.flatnonzero(found != np.arange(len(cells)))
    if len(mismatched):
        row = mismatched[0]
        raise ValueError(
            f"the hash is of other cells: it has cell {tuple(cells[row].tolist())} in row {found[row]}, not {row}"
        )
    neighbours = np.full((len(cells), 27), -1, np.int32)
    _fill_neighbours(cells, hash.keys, hash.rows, hash.origin, neighbours)
    return neighbours


@compiled
def _pack(cells, row, origin):
    """Key of a cell within the extent or in the empty layer around it."""
    x = cells[row, 0] - origin[0] + 1
    y = cells[row, 1] - origin[1] + 1
    z = cells[row, 2] - origin[2] + 1
    return x << 2 * AXIS_BITS | y << AXIS_BITS | z


@compiled
def home_shift(size):
    """Right shift that leaves log2(size) bits of a 64-bit product."""
    shift = 64
    while size > 1:
        size >>= 1
        shift -= 1
    return np.uint64(shift)


@compiled
def home(key, shift):
    """First entry to try for an int64 key."""
    return np.int64(np.uint64(key) * _GOLDEN >> shift)


@compiled
def _find(keys, rows, shift, key):
    """Row of a key, -1 if absent; free entries hold row -1, so that one exit serves both (three times faster)."""
    mask = keys.shape[0] - 1
    entry = home(key, shift)
    while keys[entry] != key and keys[entry] != _EMPTY:
        entry = (entry + 1) & mask
    return rows[entry]


@compiled
def _insert(cells, origin, keys, rows):
    """Fills the table; returns the rows of the first pair of equal cells, or (-1, -1)."""
    shift = home_shift(keys.shape[0])
    for row in range(cells.shape[0]):
        key = _pack(cells, row, origin)
        entry = home(key, shift)
        while keys[entry] != _EMPTY:
            if keys[entry] == key:
                return np.int64(rows[entry]), row
            entry = (entry + 1) & (keys.shape[0] - 1)
        keys[entry] = key
        rows[entry] = row
    return -1, -1


@compiled
def _lookup(cells, table, steps, found):
    keys, rows, origin, extent = table
    shift = home_shift(keys.shape[0])
    for row in range(cells.shape[0]):
        inside = True  # the extent or one layer around it; differences wrap, so they are compared unsigned
        for axis in range(3):
            inside &= np.uint64(cells[row, axis] - origin[axis] + 1) <= np.uint64(extent[axis] + 1)
        if inside:
            key = _pack(cells, row, origin)
            for k in range(len(steps)):
                found[row, k] = _find(keys, rows, shift, key + steps[k])
        else:
            found[row, :] = -1


@compiled
def _fill_neighbours(cells, keys, rows, origin, neighbours):
    shift = home_shift(keys.shape[0])
    for row in range(cells.shape[0]):
        neighbours[row, 13] = row
        key = _pack(cells, row, origin)
        for k in range(14, 27):
            other = _find(keys, rows, shift, key + _FORWARD_KEYS[k - 14])
            if other >= 0:
                neighbours[row, k] = other
                neighbours[other, 26 - k] = row
