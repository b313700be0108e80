"""Joins the tables of several scenes and pads them to static shapes.

Scenes follow one another, padding rows come last. Here -1 becomes the device convention: an absent entry is the index
of the last row of the array that it points into, which is always padding. Hence n rows need at least n + 1.
Every function raises ValueError, with the numbers, where the rows do not fit.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from kernels.host.rings import RingTable

_INT32_MAX = 2**31 - 1


class CornerTable(NamedTuple):
    """The voxels around V vertices (real and padding), ready for a gather in both directions.

    Attributes:
        corners: int32 [V, 8].
        weights: float [V, 8], zero for absent corners.
        order: int32 [V * 8], stable argsort of `corners.ravel()`.
        sorted_corners: int32 [V * 8], `corners.ravel()[order]`.
    """

    corners: np.ndarray
    weights: np.ndarray
    order: np.ndarray
    sorted_corners: np.ndarray


class TraceTable(NamedTuple):
    """The coarse vertex of every fine vertex (real and padding), ready for a gather in both directions.

    Attributes:
        trace: int32 [V_fine].
        order: int32 [V_fine], stable argsort of `trace`.
        sorted_trace: int32 [V_fine], `trace[order]`.
    """

    trace: np.ndarray
    order: np.ndarray
    sorted_trace: np.ndarray


def pad_rows(arrays: Sequence[np.ndarray], rows: int, fill: float = 0) -> np.ndarray:
    """Rows of all scenes, one after the other, then rows of `fill`.

    Args:
        arrays: B arrays [n_b, ...] of one dtype and one shape after the first axis.
        rows: rows of the result, more than the sum of n_b.
        fill: value of padding rows.

    Returns:
        [rows, ...] of the same dtype.
    """
    if not arrays:
        raise ValueError("no arrays to join")
    kinds = {(array.dtype, array.shape[1:]) for array in arrays}
    if len(kinds) > 1:
        raise ValueError(f"arrays differ in dtype or row shape: {sorted(map(str, kinds))}")
    starts = _starts("rows", [len(array) for array in arrays], rows)
    joined = np.empty((rows, *arrays[0].shape[1:]), arrays[0].dtype)
    np.concatenate(arrays, out=joined[: starts[-1]])
    joined[starts[-1] :] = fill
    return joined


def join_neighbours(tables: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """Neighbour tables of all scenes.

    Args:
        tables: B x int32 [P_b, 27], -1 absent.
        rows: P, more than the sum of P_b.

    Returns:
        int32 [P, 27]; absent and padding entries are P - 1.
    """
    starts = _starts("voxel rows", [len(table) for table in tables], rows)
    return _join(tables, rows, starts[:-1], absent=rows - 1, padding=rows - 1, width=27)


def join_children(
    tables: Sequence[np.ndarray], fine_counts: Sequence[int], fine_rows: int, coarse_rows: int
) -> np.ndarray:
    """Child tables of all scenes.

    Args:
        tables: B x int32 [Q_b, 8], rows of the finer level, -1 absent.
        fine_counts: B numbers of finer voxels.
        fine_rows: P, more than the sum of fine_counts.
        coarse_rows: Q, more than the sum of Q_b.

    Returns:
        int32 [Q, 8]; absent and padding entries are P - 1.
    """
    _same_number(tables, fine_counts)
    starts = _starts("finer voxel rows", fine_counts, fine_rows)
    _starts("coarser voxel rows", [len(table) for table in tables], coarse_rows)
    return _join(tables, coarse_rows, starts[:-1], absent=fine_rows - 1, padding=fine_rows - 1, width=8)


def join_slots(
    tables: Sequence[np.ndarray], coarse_counts: Sequence[int], fine_rows: int, coarse_rows: int
) -> np.ndarray:
    """Slots of all scenes.

    Args:
        tables: B x int32 [P_b], `parent * 8 + octant`.
        coarse_counts: B numbers of coarser voxels.
        fine_rows: P, more than the sum of P_b.
        coarse_rows: Q, more than the sum of coarse_counts.

    Returns:
        int32 [P]; padding entries are (Q - 1) * 8, octant 0 of the last row.
    """
    _same_number(tables, coarse_counts)
    _starts("finer voxel rows", [len(table) for table in tables], fine_rows)
    starts = _starts("coarser voxel rows", coarse_counts, coarse_rows)
    if coarse_rows * 8 > _INT32_MAX:
        raise ValueError(f"{coarse_rows} voxel rows of 8 octants exceed int32")
    padding = (coarse_rows - 1) * 8
    return _join(tables, fine_rows, [8 * start for start in starts[:-1]], absent=padding, padding=padding, width=None)


def join_corners(
    corners: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    voxel_counts: Sequence[int],
    vertex_rows: int,
    voxel_rows: int,
) -> CornerTable:
    """Trilinear tables of all scenes, with the order in which the backward pass sums.

    Args:
        corners: B x int32 [V_b, 8], -1 absent.
        weights: B x float [V_b, 8].
        voxel_counts: B numbers of voxels.
        vertex_rows: V, more than the sum of V_b.
        voxel_rows: P, more than the sum of voxel_counts.

    Returns:
        CornerTable; absent and padding corners are P - 1, with weight zero.
    """
    _same_number(corners, voxel_counts)
    _same_number(corners, weights)
    starts = _starts("voxel rows", voxel_counts, voxel_rows)
    _starts("vertex rows", [len(table) for table in corners], vertex_rows)
    if vertex_rows * 8 > _INT32_MAX:
        raise ValueError(f"{vertex_rows} vertex rows of 8 corners exceed int32")
    joined = _join(corners, vertex_rows, starts[:-1], absent=voxel_rows - 1, padding=voxel_rows - 1, width=8)
    joined_weights = pad_rows(weights, vertex_rows)
    joined_weights[joined == voxel_rows - 1] = 0
    return CornerTable(joined, joined_weights, *argsort_rows(joined.ravel(), voxel_rows))


def join_rings(tables: Sequence[RingTable], vertex_rows: int, overflow_rows: int) -> RingTable:
    """Ring tables of all scenes, flat edge ids renumbered.

    Args:
        tables: B RingTable of one width K, -1 absent.
        vertex_rows: V, more than all vertices.
        overflow_rows: O, at least all overflow entries (nothing points at a padding entry).

    Returns:
        RingTable; an absent slot has ring = V - 1 and reverse = (V - 1) * K, a slot of the last row; a padding overflow
        entry has target = source = V - 1 and reverse = (V - 1) * K; padding vertices have degree 0.
    """
    widths = {table.ring.shape[1] for table in tables}
    if len(widths) != 1:
        raise ValueError(f"ring tables must have one width, got {sorted(widths)}")
    width = widths.pop()
    counts = [len(table.ring) for table in tables]
    starts = _starts("vertex rows", counts, vertex_rows)
    entries = [len(table.overflow_target) for table in tables]
    entry_starts = _starts("overflow rows", entries, overflow_rows, spare=0)
    if vertex_rows * width + overflow_rows > _INT32_MAX:
        raise ValueError(
            f"{vertex_rows} vertices of {width} slots and {overflow_rows} more edges exceed int32 edge ids"
        )
    last = vertex_rows - 1

    def join_ids(arrays, rows, row_width):
        joined = np.full((rows, row_width) if row_width else rows, last * width, np.int32)
        row = 0
        for array, count, start, entry_start in zip(arrays, counts, starts, entry_starts):
            part = joined[row : row + len(array)]
            overflow_shift = vertex_rows * width + entry_start - count * width
            _shift_ids(_flat(array), count * width, start * width, overflow_shift, last * width, part.reshape(-1))
            row += len(array)
        return joined

    return RingTable(
        ring=_join([t.ring for t in tables], vertex_rows, starts[:-1], last, last, width),
        reverse=join_ids([t.reverse for t in tables], vertex_rows, width),
        overflow_target=_join([t.overflow_target for t in tables], overflow_rows, starts[:-1], last, last, None),
        overflow_source=_join([t.overflow_source for t in tables], overflow_rows, starts[:-1], last, last, None),
        overflow_reverse=join_ids([t.overflow_reverse for t in tables], overflow_rows, None),
        degree=pad_rows([t.degree for t in tables], vertex_rows),
    )


def join_traces(
    traces: Sequence[np.ndarray], coarse_counts: Sequence[int], fine_rows: int, coarse_rows: int
) -> TraceTable:
    """Traces of all scenes, with the order in which the backward pass sums.

    Args:
        traces: B x int32 [V_b], rows of the coarser level.
        coarse_counts: B numbers of coarser vertices.
        fine_rows: V_fine, more than the sum of V_b.
        coarse_rows: V_coarse, more than the sum of coarse_counts.

    Returns:
        TraceTable; padding entries are V_coarse - 1.
    """
    _same_number(traces, coarse_counts)
    _starts("finer vertex rows", [len(trace) for trace in traces], fine_rows)
    starts = _starts("coarser vertex rows", coarse_counts, coarse_rows)
    joined = _join(traces, fine_rows, starts[:-1], absent=coarse_rows - 1, padding=coarse_rows - 1, width=None)
    return TraceTable(joined, *argsort_rows(joined, coarse_rows))


def argsort_rows(keys: np.ndarray, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Stable argsort of row numbers, by counting.

    Args:
        keys: int32 [N], each in 0..num_rows-1.
        num_rows: number of rows that the keys point into.

    Returns:
        order int32 [N] and keys[order] int32 [N].
    """
    starts = np.zeros(num_rows + 1, np.int32)
    order, sorted_keys = np.empty((2, len(keys)), np.int32)
    wrong = _counting_sort(keys, starts, order, sorted_keys)
    if wrong >= 0:
        raise ValueError(f"entry {wrong} points at row {keys[wrong]} of {num_rows}")
    return order, sorted_keys


def _same_number(tables: Sequence, counts: Sequence) -> None:
    if len(tables) != len(counts):
        raise ValueError(f"{len(tables)} tables, but {len(counts)} counts")


def _starts(what: str, counts: Sequence[int], rows: int, spare: int = 1) -> list[int]:
    """First row of every scene and, last, the number of real rows."""
    starts = [0]
    for count in counts:
        starts.append(starts[-1] + int(count))
    if starts[-1] + spare > rows:
        needed = f"{starts[-1]} + {spare}" if spare else f"{starts[-1]}"
        raise ValueError(f"{len(counts)} scenes need {needed} {what}, but only {rows} are given")
    if rows > _INT32_MAX:
        raise ValueError(f"{rows} {what} exceed int32")
    return starts


def _flat(table: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(table, np.int32).reshape(-1)


def _join(
    tables: Sequence[np.ndarray], rows: int, offsets: Sequence[int], absent: int, padding: int, width: int | None
) -> np.ndarray:
    joined = np.empty(rows if width is None else (rows, width), np.int32)
    row = 0
    for table, offset in zip(tables, offsets):
        if table.shape[1:] != joined.shape[1:]:
            raise ValueError(f"a table has rows of shape {table.shape[1:]}, not {joined.shape[1:]}")
        _shift(_flat(table), offset, absent, joined[row : row + len(table)].reshape(-1))
        row += len(table)
    joined[row:] = padding
    return joined


@njit(cache=True, nogil=True)
def _shift(table, offset, absent, out):
    for entry in range(table.shape[0]):
        out[entry] = table[entry] + offset if table[entry] >= 0 else absent


@njit(cache=True, nogil=True)
def _shift_ids(ids, num_slots, slot_shift, overflow_shift, absent, out):
    """Flat edge ids of one scene: slots below num_slots move by one shift, overflow entries by another."""
    for entry in range(ids.shape[0]):
        if ids[entry] < 0:
            out[entry] = absent
        elif ids[entry] < num_slots:
            out[entry] = ids[entry] + slot_shift
        else:
            out[entry] = ids[entry] + overflow_shift


@njit(cache=True, nogil=True)
def _counting_sort(keys, starts, order, sorted_keys):
    """Fills order and sorted_keys; returns the first entry outside the rows, or -1."""
    for entry in range(keys.shape[0]):
        if not 0 <= keys[entry] < starts.shape[0] - 1:
            return entry
        starts[keys[entry] + 1] += 1
    for row in range(starts.shape[0] - 1):
        starts[row + 1] += starts[row]
    for entry in range(keys.shape[0]):
        place = starts[keys[entry]]
        starts[keys[entry]] = place + 1
        order[place] = entry
        sorted_keys[place] = keys[entry]
    return -1
