"""Vertex clustering: all vertices of a grid cell become one (Rossignac and Borrel 1993, the grid of vcglib)."""

from typing import NamedTuple

import numpy as np

from kernels.host.jit import compiled, prefetch
from kernels.host.mesh.faces import checked_mesh, unique_faces
from kernels.host.voxel.hash_map import home, home_shift
from kernels.host.voxel.morton import AXIS_BITS, box, inverse, morton_order

MAX_CELLS = 2**AXIS_BITS
"""Cells along one axis that a Morton key in int64 can tell apart."""

_AHEAD = 16
"""So many vertices ahead the entry of the hash is asked for."""

_WHOLE = 1e-9
"""A cell count this close below a whole number is that number: an extent of 5 cells has 5, whatever the rounding."""


class CoarseMesh(NamedTuple):
    """A simplified mesh and the way from the finer one to it.

    Attributes:
        vertices: float64[C, 3] in Morton order.
        faces: int32[G, 3], none degenerate, none repeated.
        trace: int32[V] the coarse vertex of every fine vertex; total and surjective.
    """

    vertices: np.ndarray
    faces: np.ndarray
    trace: np.ndarray


def cluster_vertices(vertices: np.ndarray, faces: np.ndarray, cell_size: float) -> CoarseMesh:
    """Merges the vertices of each grid cell.

    The grid begins one cell below the least corner of the vertices that faces use and ends one cell above the
    greatest; cells are stretched so that a whole number of them fits. The coarse vertex of a cell is the mean over
    its vertices, each weighted with the number of its face corners, at least 1: a vertex without faces keeps a
    coarse vertex. Works anywhere in space: cells are counted, and means taken, from the grid's origin.

    Args:
        vertices: float64[V, 3] positions, in the unit of `cell_size`.
        faces: int32[F, 3] rows of `vertices`.
        cell_size: edge of a cell, > 0.

    Returns:
        CoarseMesh; its vertices are in Morton order of their cells, its trace is the membership in cells.

    Raises:
        ValueError: what `checked_mesh` refuses, a cell size that is not positive and finite, more than 2^21 cells along
            an axis.
    """
    vertices, faces = checked_mesh(vertices, faces)
    if not (np.isfinite(cell_size) and cell_size > 0):
        raise ValueError(f"cell_size must be positive and finite, got {cell_size}")
    if len(vertices) == 0:
        return CoarseMesh(vertices.copy(), faces.copy(), np.zeros(0, np.int32))
    corners, used = _corners_and_box(faces, vertices)
    low, high = used if len(faces) else box(vertices)
    extent = high - low + 2 * cell_size
    origin, cell = low - cell_size, extent / np.floor(extent / cell_size + _WHOLE)
    low, high = box(vertices)
    span = (high - low) / cell + 1
    if not (span <= MAX_CELLS).all():
        axis = int(np.argmax(span))
        raise ValueError(
            f"cells of {cell[axis]:g} divide the {'xyz'[axis]} axis into {span[axis]:.3g}; at most {MAX_CELLS}"
        )
    cells, extent = _cells(vertices, origin, cell)
    numbers, first = _number_cells(cells, extent)
    order = morton_order(cells.take(first, axis=0))
    trace, coarse_faces = _renumber(inverse(order), numbers, faces)
    means = _weighted_means(vertices, origin, corners, trace, len(order))
    return CoarseMesh(means, unique_faces(coarse_faces, len(order)), trace)


@compiled
def _corners_and_box(faces, vertices):
    """Face corners at each vertex, int32 [V], and least and greatest coordinates, [2, 3], of those that have any."""
    corners, bounds = np.zeros(vertices.shape[0], np.int32), np.empty((2, 3))
    for f in range(faces.shape[0]):
        for k in range(3):
            corners[faces[f, k]] += 1
    bounds[0], bounds[1] = np.inf, -np.inf
    for v in range(vertices.shape[0]):
        if corners[v] > 0:
            for axis in range(3):
                bounds[0, axis] = min(bounds[0, axis], vertices[v, axis])
                bounds[1, axis] = max(bounds[1, axis], vertices[v, axis])
    return corners, bounds


@compiled
def _cells(vertices, origin, cell):
    """Cell of each vertex, int64[V, 3] from (0, 0, 0) on, and the number of cells along each axis, int64[3]."""
    cells = np.empty(vertices.shape, np.int64)
    least = np.full(3, np.int64(2**62))
    greatest = np.full(3, np.int64(-(2**62)))
    for v in range(vertices.shape[0]):
        for axis in range(3):
            c = np.int64(np.floor((vertices[v, axis] - origin[axis]) / cell[axis]))
            cells[v, axis] = c
            least[axis] = min(least[axis], c)
            greatest[axis] = max(greatest[axis], c)
    for v in range(vertices.shape[0]):
        for axis in range(3):
            cells[v, axis] -= least[axis]
    return cells, greatest - least + 1


@compiled
def _renumber(rank, numbers, faces):
    """Numbers of cells in their new order: of the vertices int32[V], and of the faces' corners int32[F, 3]."""
    trace = np.empty(numbers.shape[0], np.int32)
    for v in range(numbers.shape[0]):
        trace[v] = rank[numbers[v]]
    coarse = np.empty(faces.shape, np.int32)
    for f in range(faces.shape[0]):
        for k in range(3):
            coarse[f, k] = trace[faces[f, k]]
    return trace, coarse


@compiled
def _number_cells(cells, extent):
    """Numbers occupied cells in the order of their first vertex: (cell of each vertex, first vertex of each cell)."""
    count = cells.shape[0]
    size = 16
    while size < 2 * count:
        size *= 2
    shift = home_shift(size)
    slots, numbers = np.full(size, np.int32(-1)), np.empty(count, np.int32)
    keys, first = np.empty(count, np.int64), np.empty(count, np.int64)
    occupied = 0
    for v in range(count):
        prefetch(slots, home(_key(cells, extent, min(v + _AHEAD, count - 1)), shift))
        key = _key(cells, extent, v)
        slot = home(key, shift)
        while slots[slot] >= 0 and keys[slots[slot]] != key:
            slot = (slot + 1) & (size - 1)
        if slots[slot] < 0:
            slots[slot] = occupied
            keys[occupied] = key
            first[occupied] = v
            occupied += 1
        numbers[v] = slots[slot]
    return numbers, first[:occupied].copy()


@compiled(forceinline=True)
def _key(cells, extent, v):
    return (cells[v, 0] * extent[1] + cells[v, 1]) * extent[2] + cells[v, 2]


@compiled
def _weighted_means(vertices, origin, corners, trace, count):
    sums = np.zeros((count, 3))
    totals = np.zeros(count)
    for v in range(vertices.shape[0]):
        c = trace[v]
        weight = max(corners[v], 1)
        totals[c] += weight
        for axis in range(3):
            sums[c, axis] += weight * (vertices[v, axis] - origin[axis])
    for c in range(count):
        for axis in range(3):
            sums[c, axis] = origin[axis] + sums[c, axis] / totals[c]
    return sums
