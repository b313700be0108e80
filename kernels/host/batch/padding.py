"""Joins the tables of several scenes and pads them to static shapes.

Scenes follow one another, padding rows come last. Here -1 becomes the device convention: an absent entry is the index
of the last row of the array that it points into, which is always padding. Hence n rows need at least n + 1.
Every function raises ValueError, with the numbers, where the rows do not fit or an entry points outside its scene.
"""

from collections.abc import Sequence

import numpy as np

from kernels.host.batch.offsets import INT32_MAX, argsort_rows, join_edge_ids, join_indices, row_starts
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
    starts = row_starts("rows", [len(array) for array in arrays], rows)
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
    counts = [len(table) for table in tables]
    starts = row_starts("voxel rows", counts, rows)
    return join_indices(tables, (rows, 27), counts, starts, fill=rows - 1)


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
    starts = row_starts("finer voxel rows", fine_counts, fine_rows)
    row_starts("coarser voxel rows", [len(table) for table in tables], coarse_rows)
    return join_indices(tables, (coarse_rows, 8), fine_counts, starts, fill=fine_rows - 1)


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
    row_starts("finer voxel rows", [len(table) for table in tables], fine_rows)
    starts = row_starts("coarser voxel rows", coarse_counts, coarse_rows)
    if coarse_rows * 8 > INT32_MAX:
        raise ValueError(f"{coarse_rows} voxel rows of 8 octants exceed int32")
    slot_counts, slot_starts = [8 * count for count in coarse_counts], [8 * start for start in starts]
    fill = (coarse_rows - 1) * 8
    return join_indices(tables, (fine_rows,), slot_counts, slot_starts, fill, absent_allowed=False)


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
    vertex_counts = [len(table) for table in corners]
    if vertex_counts != [len(table) for table in weights]:
        raise ValueError(f"corners of {vertex_counts} vertices, weights of {[len(table) for table in weights]}")
    starts = row_starts("voxel rows", voxel_counts, voxel_rows)
    row_starts("vertex rows", vertex_counts, vertex_rows)
    if vertex_rows * 8 > INT32_MAX:
        raise ValueError(f"{vertex_rows} vertex rows of 8 corners exceed int32")
    joined = join_indices(corners, (vertex_rows, 8), voxel_counts, starts, fill=voxel_rows - 1)
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
    for scene, table in enumerate(tables):
        _check_lengths(scene, table)
    counts, entry_counts = [len(t.ring) for t in tables], [len(t.overflow_target) for t in tables]
    starts = row_starts("vertex rows", counts, vertex_rows)
    entry_starts = row_starts("overflow rows", entry_counts, overflow_rows, spare=0)
    num_slots = vertex_rows * width
    if num_slots + overflow_rows > INT32_MAX:
        raise ValueError(
            f"{vertex_rows} vertices of {width} slots and {overflow_rows} more edges exceed int32 edge ids"
        )
    last = vertex_rows - 1

    def vertices(arrays, *shape):
        return join_indices(arrays, shape, counts, starts, fill=last)

    def edge_ids(arrays, *shape):
        slots = [count * width for count in counts], [start * width for start in starts]
        return join_edge_ids(arrays, shape, slots, (entry_counts, entry_starts), num_slots, fill=last * width)

    return Rings(
        ring=vertices([t.ring for t in tables], vertex_rows, width),
        reverse=edge_ids([t.reverse for t in tables], vertex_rows, width),
        overflow_target=vertices([t.overflow_target for t in tables], overflow_rows),
        overflow_source=vertices([t.overflow_source for t in tables], overflow_rows),
        overflow_reverse=edge_ids([t.overflow_reverse for t in tables], overflow_rows),
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
    row_starts("finer vertex rows", [len(trace) for trace in traces], fine_rows)
    starts = row_starts("coarser vertex rows", coarse_counts, coarse_rows)
    joined = join_indices(traces, (fine_rows,), coarse_counts, starts, coarse_rows - 1, absent_allowed=False)
    return Trace(joined, *argsort_rows(joined, coarse_rows))


def _check_lengths(scene: int, table: Rings) -> None:
    """ValueError unless the arrays of a ring table fit together."""
    vertices, entries = len(table.ring), len(table.overflow_target)
    lengths = [len(table.reverse), len(table.degree), len(table.overflow_source), len(table.overflow_reverse)]
    if lengths != [vertices, vertices, entries, entries]:
        raise ValueError(
            f"scene {scene}: rings of {vertices} vertices and {entries} overflow entries, but reverse, degree, "
            f"overflow_source and overflow_reverse of {lengths}"
        )
