"""Joins the tables of several scenes and pads them to static shapes.

Scenes follow one another, padding rows come last. Here -1 becomes the device convention: an absent entry is the index
of the last row of the array that it points into, which is always padding. Hence n rows need at least n + 1. Every
function raises ValueError, with the numbers, if the rows do not fit or an entry points outside its scene.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from kernels.host.jit import compiled
from kernels.host.mesh.rings import INT32_MAX
from kernels.host.tables import Rings, Trace, Trilinear


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
    *_, end = _row_starts("rows", list(map(len, arrays)), rows)
    joined = np.empty((rows, *arrays[0].shape[1:]), arrays[0].dtype)
    np.concatenate(arrays, out=joined[:end])
    joined[end:] = fill
    return joined


def join_neighbours(tables: Sequence[np.ndarray], rows: int) -> np.ndarray:
    """Neighbour tables of all scenes.

    Args:
        tables: B x int32 [P_b, 27], -1 absent.
        rows: P, more than the sum of P_b.

    Returns:
        int32 [P, 27]; absent and padding entries are P - 1.
    """
    counts = list(map(len, tables))
    starts = _row_starts("voxel rows", counts, rows)
    return _join(tables, (rows, 27), _rows_of(counts, starts), fill=rows - 1)


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
    starts = _row_starts("finer voxel rows", fine_counts, fine_rows)
    _row_starts("coarser voxel rows", list(map(len, tables)), coarse_rows)
    return _join(tables, (coarse_rows, 8), _rows_of(fine_counts, starts), fill=fine_rows - 1)


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
    _row_starts("finer voxel rows", list(map(len, tables)), fine_rows)
    starts = _row_starts("coarser voxel rows", coarse_counts, coarse_rows)
    if coarse_rows * 8 > INT32_MAX:
        raise ValueError(f"{coarse_rows} voxel rows of 8 octants exceed int32")
    slots = [(8 * count, 8 * count, 8 * start, 0) for count, start in zip(coarse_counts, starts)]
    return _join(tables, (fine_rows,), slots, fill=(coarse_rows - 1) * 8, lowest=0)


def join_corners(
    corners: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    voxel_counts: Sequence[int],
    vertex_rows: int,
    voxel_rows: int,
) -> Trilinear:
    """Trilinear tables of all scenes, with the order in which the backward pass sums.

    Args:
        corners: B x int32 [V_b, 8], -1 absent.
        weights: B x float [V_b, 8].
        voxel_counts: B numbers of voxels.
        vertex_rows: V, more than the sum of V_b.
        voxel_rows: P, more than the sum of voxel_counts.

    Returns:
        Trilinear; absent and padding corners are P - 1, with weight zero.
    """
    vertex_counts = list(map(len, corners))
    if vertex_counts != list(map(len, weights)):
        raise ValueError(f"corners of {vertex_counts} vertices, weights of {list(map(len, weights))}")
    starts = _row_starts("voxel rows", voxel_counts, voxel_rows)
    _row_starts("vertex rows", vertex_counts, vertex_rows)
    if vertex_rows * 8 > INT32_MAX:
        raise ValueError(f"{vertex_rows} vertex rows of 8 corners exceed int32")
    joined = _join(corners, (vertex_rows, 8), _rows_of(voxel_counts, starts), fill=voxel_rows - 1)
    joined_weights = pad_rows(weights, vertex_rows)
    joined_weights[joined == voxel_rows - 1] = 0
    return Trilinear(joined, joined_weights, *argsort_rows(joined.ravel(), voxel_rows))


def join_rings(tables: Sequence[Rings], vertex_rows: int, overflow_rows: int) -> Rings:
    """Ring tables of all scenes, flat edge ids renumbered.

    Args:
        tables: B Rings of one width K, -1 absent.
        vertex_rows: V, more than all vertices.
        overflow_rows: O, at least all overflow entries (nothing points at a padding entry).

    Returns:
        Rings; an absent slot has ring = V - 1 and reverse = (V - 1) * K, a slot of the last row; a padding overflow
        entry has target = source = V - 1 and reverse = (V - 1) * K; padding vertices have degree 0.
    """
    widths = {table.ring.shape[1] for table in tables}
    if len(widths) != 1:
        raise ValueError(f"ring tables must have one width, got {sorted(widths)}")
    width = widths.pop()
    for scene, (ring, reverse, target, source, back, degree) in enumerate(tables):
        lengths = list(map(len, (reverse, degree, source, back)))
        if lengths != [len(ring), len(ring), len(target), len(target)]:
            raise ValueError(
                f"scene {scene}: rings of {len(ring)} vertices and {len(target)} overflow entries, but reverse, "
                f"degree, overflow_source and overflow_reverse of {lengths}"
            )
    counts, entry_counts = [len(t.ring) for t in tables], [len(t.overflow_target) for t in tables]
    starts = _row_starts("vertex rows", counts, vertex_rows)
    entry_starts = _row_starts("overflow rows", entry_counts, overflow_rows, spare=0)
    num_slots, last = vertex_rows * width, vertex_rows - 1
    if num_slots + overflow_rows > INT32_MAX:
        raise ValueError(
            f"{vertex_rows} vertices of {width} slots and {overflow_rows} more edges exceed int32 edge ids"
        )
    vertices = _rows_of(counts, starts)
    # Slots come first, overflow entries after them, in each scene and in the batch.
    edges = [
        (count * width, count * width + entries, start * width, num_slots + entry_start - count * width)
        for count, start, entries, entry_start in zip(counts, starts, entry_counts, entry_starts)
    ]
    slots, entries = (vertex_rows, width), (overflow_rows,)
    return Rings(
        ring=_join([t.ring for t in tables], slots, vertices, last),
        reverse=_join([t.reverse for t in tables], slots, edges, last * width),
        overflow_target=_join([t.overflow_target for t in tables], entries, vertices, last),
        overflow_source=_join([t.overflow_source for t in tables], entries, vertices, last),
        overflow_reverse=_join([t.overflow_reverse for t in tables], entries, edges, last * width),
        degree=pad_rows([t.degree for t in tables], vertex_rows),
    )


def join_traces(traces: Sequence[np.ndarray], coarse_counts: Sequence[int], fine_rows: int, coarse_rows: int) -> Trace:
    """Traces of all scenes, with the order in which the backward pass sums.

    Args:
        traces: B x int32 [V_b], rows of the coarser level.
        coarse_counts: B numbers of coarser vertices.
        fine_rows: V_fine, more than the sum of V_b.
        coarse_rows: V_coarse, more than the sum of coarse_counts.

    Returns:
        Trace; padding entries are V_coarse - 1.
    """
    _row_starts("finer vertex rows", list(map(len, traces)), fine_rows)
    starts = _row_starts("coarser vertex rows", coarse_counts, coarse_rows)
    joined = _join(traces, (fine_rows,), _rows_of(coarse_counts, starts), coarse_rows - 1, lowest=0)
    return Trace(joined, *argsort_rows(joined, coarse_rows))


def argsort_rows(keys: np.ndarray, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Stable argsort of row numbers, by counting.

    Args:
        keys: int32 [N], each in 0..num_rows-1.
        num_rows: number of rows that the keys point into.

    Returns:
        order int32 [N] and `keys[order]` int32 [N].

    Raises:
        ValueError: a key outside the rows.
    """
    keys = np.ascontiguousarray(keys, np.int32)
    starts = np.zeros(num_rows + 1, np.int32)
    order, sorted_keys = np.empty(len(keys), np.int32), np.empty(len(keys), np.int32)
    wrong = _counting_sort(keys, starts, order, sorted_keys)
    if wrong >= 0:
        raise ValueError(f"entry {wrong} points at row {keys[wrong]} of {num_rows}")
    return order, sorted_keys


def _row_starts(what: str, counts: Sequence[int], rows: int, spare: int = 1) -> list[int]:
    """First row of every scene and, last, the number of all real rows; `rows` must hold them and `spare` more."""
    starts = [0, *itertools.accumulate(map(int, counts))]
    if starts[-1] + spare > rows:
        needed = f"{starts[-1]} + {spare}" if spare else f"{starts[-1]}"
        raise ValueError(f"{len(counts)} scenes need {needed} {what}, but only {rows} are given")
    if rows > INT32_MAX:
        raise ValueError(f"{rows} {what} exceed int32")
    return starts


def _rows_of(counts: Sequence[int], starts: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """For `_join`: scenes of `counts` rows, which begin at `starts`."""
    return [(count, count, start, 0) for count, start in zip(counts, starts)]


def _join(
    tables: Sequence[np.ndarray],
    shape: tuple[int, ...],
    scenes: Sequence[tuple[int, int, int, int]],
    fill: int,
    lowest: int = -1,
) -> np.ndarray:
    """Tables of numbers, one after the other, shifted to where the rows of their scenes are in the batch.

    Args:
        tables: B x int32 [n_b, ...].
        shape: shape of the result, its first length at least the sum of n_b.
        scenes: for each table (split, limit, shift, shift_above): its numbers are below `limit`; those below `split`
            are shifted by `shift`, the others by `shift_above`.
        fill: value of absent and padding entries.
        lowest: -1 if entries may be absent, else 0.

    Returns:
        int32 array of that shape.
    """
    if len(tables) != len(scenes):
        raise ValueError(f"{len(tables)} tables, but counts of {len(scenes)} scenes")
    if sum(map(len, tables)) > shape[0]:
        raise ValueError(f"tables of {sum(map(len, tables))} rows do not fit {shape[0]}")
    joined = np.empty(shape, np.int32)
    row = 0
    for scene, table in enumerate(tables):
        if table.shape[1:] != shape[1:] or table.dtype != np.int32:
            raise ValueError(f"scene {scene}: rows must be int32 {shape[1:]}, got {table.dtype} {table.shape[1:]}")
        split, limit, shift, shift_above = scenes[scene]
        values = np.ascontiguousarray(table).reshape(-1)
        part = joined[row : row + len(table)].reshape(-1)
        if _renumber(values, (split, limit, lowest), (shift, shift_above), fill, part):
            wrong = int(np.flatnonzero((values < lowest) | (values >= limit))[0])
            place = wrong * len(table) // values.size
            raise ValueError(f"scene {scene}, row {place}: entry {values[wrong]} is outside the {limit} of the scene")
        row += len(table)
    joined[row:] = fill
    return joined


@compiled
def _renumber(values, bounds, shifts, fill, out):
    """Shifts values below `split` by one amount, those above by another; returns whether an entry is out of range."""
    split, limit, lowest = bounds
    shift, shift_above = shifts
    wrong = False
    for entry in range(values.shape[0]):
        value = values[entry]
        wrong |= (value < lowest) | (value >= limit)
        shifted = value + (shift if value < split else shift_above)
        out[entry] = shifted if value >= 0 else fill
    return wrong


@compiled
def _counting_sort(keys, starts, order, sorted_keys):
    """Fills order and sorted_keys; returns the first entry outside the rows, or -1."""
    num_rows = starts.shape[0] - 1
    for entry in range(keys.shape[0]):
        if not 0 <= keys[entry] < num_rows:
            return entry
        starts[keys[entry] + 1] += 1
    for row in range(num_rows):
        starts[row + 1] += starts[row]
    for entry in range(keys.shape[0]):
        place = starts[keys[entry]]
        starts[keys[entry]] = place + 1
        order[place] = entry
        sorted_keys[place] = keys[entry]
    return -1
