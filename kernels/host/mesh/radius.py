"""Neighbours in space: points joined to those within a radius, in the tables of `kernels.host.mesh.rings`."""

import numpy as np

from kernels.host.jit import compiled
from kernels.host.mesh.rings import ring_table, rings_from_edges
from kernels.host.tables import Rings
from kernels.host.voxel.hash_map import neighbour_table

CELL_MARGIN = 1e-6
"""Of a cell beyond the radius. Quotients up to 2**21 cells are rounded by less than 1e-9."""


def radius_graph(points: np.ndarray, radius: float, width: int, rng: np.random.Generator) -> Rings:
    """Joins every two points within `radius` as long as both have fewer than `width` neighbours.

    Pairs are taken in random order, so that a point with more neighbours keeps a random part of them, and the graph is
    symmetric: no table entry overflows. Candidates come from a grid of cells a little larger than the radius.

    Args:
        points: float [V, 3].
        radius: distance up to which (inclusive) two points may be joined, in the points' unit.
        width: K >= 1, most neighbours of a point.
        rng: draws the order.

    Returns:
        Rings of K slots and no overflow entries, -1 in absent slots.

    Raises:
        ValueError: wrong shape, coordinates that are not finite, a radius that is not positive, width < 1.
    """
    points = np.ascontiguousarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise ValueError(f"points must be finite and of shape [V, 3], got {points.shape}")
    if not (np.isfinite(radius) and radius > 0) or width < 1:
        raise ValueError(f"radius must be positive and width at least 1, got {radius} and {width}")
    first, second = _pairs_within(points, float(radius))
    order = rng.permutation(len(first))
    first, second = first[order], second[order]
    taken = np.zeros(len(first), np.bool_)
    _take_while_room(first, second, np.zeros(len(points), np.int32), width, taken)
    return ring_table(rings_from_edges(first[taken], second[taken], len(points)), width)


def _pairs_within(points: np.ndarray, radius: float) -> np.ndarray:
    """int32 [2, N]: every pair of points at most `radius` apart, once."""
    if not len(points):
        return np.zeros((2, 0), np.int32)
    # A pair at exactly the radius must not fall two cells apart by the rounding of the quotients.
    cells = np.floor((points - points.min(0)) / (radius * (1 + CELL_MARGIN))).astype(np.int64)
    cells, cell_of = np.unique(cells, axis=0, return_inverse=True)
    cell_of = cell_of.reshape(-1).astype(np.int32)
    order = np.argsort(cell_of, kind="stable").astype(np.int32)
    starts = np.searchsorted(cell_of[order], np.arange(len(cells) + 1)).astype(np.int32)
    tables = points, order, starts, neighbour_table(cells), radius * radius
    pairs = np.empty((2, _visit_pairs(*tables, np.empty((2, 0), np.int32))), np.int32)
    _visit_pairs(*tables, pairs)
    return pairs


@compiled
def _visit_pairs(points, order, starts, neighbours, limit, pairs):
    """Number of pairs; writes them where `pairs` has room. Half of the cells around a cell suffice: 13 is itself."""
    count = 0
    for cell in range(neighbours.shape[0]):
        for k in range(13, 27):
            other = neighbours[cell, k]
            if other < 0:
                continue
            for place in range(starts[cell], starts[cell + 1]):
                begin = place + 1 if k == 13 else starts[other]
                for second in range(begin, starts[other + 1]):
                    one, two = order[place], order[second]
                    dx = points[one, 0] - points[two, 0]
                    dy = points[one, 1] - points[two, 1]
                    dz = points[one, 2] - points[two, 2]
                    if dx * dx + dy * dy + dz * dz <= limit:
                        if count < pairs.shape[1]:
                            pairs[0, count], pairs[1, count] = one, two
                        count += 1
    return count


@compiled
def _take_while_room(first, second, degree, width, taken):
    for pair in range(first.shape[0]):
        one, two = first[pair], second[pair]
        if degree[one] < width and degree[two] < width:
            degree[one] += 1
            degree[two] += 1
            taken[pair] = True
