"""Voxels of a scene and the pyramid of coarser voxels above them."""

from typing import NamedTuple

import numpy as np

from kernels.host.jit import compiled
from kernels.host.voxel.hash_map import neighbour_table
from kernels.host.voxel.morton import argsort_codes, as_cells, floor_to_cells, morton_codes


class Voxels(NamedTuple):
    """The occupied voxels of V points.

    Attributes:
        coords: int32 [P, 3], distinct voxels in Morton order.
        first: int32 [P], the lowest row of the points in each voxel.
        inverse: int32 [V], the voxel of each point.
    """

    coords: np.ndarray
    first: np.ndarray
    inverse: np.ndarray


class VoxelPyramid(NamedTuple):
    """Tables of L voxel levels, level l in units of 2**l; see docs/layout.md for the columns.

    Attributes:
        coords: L x int32 [P_l, 3], in Morton order from level 1 on; level 0 as given.
        neighbours: L x int32 [P_l, 27], -1 absent.
        children: (L - 1) x int32 [P_{l+1}, 8], rows of level l, -1 absent.
        slots: (L - 1) x int32 [P_l], `row of the parent in level l+1 * 8 + octant`.
    """

    coords: tuple[np.ndarray, ...]
    neighbours: tuple[np.ndarray, ...]
    children: tuple[np.ndarray, ...]
    slots: tuple[np.ndarray, ...]


def unique_voxels(points: np.ndarray) -> Voxels:
    """Voxels that hold at least one point: `floor(points)`, each voxel once.

    Args:
        points: float64 [V, 3], positions in voxel units, any sign.

    Returns:
        Voxels.

    Raises:
        ValueError: wrong shape, a coordinate that is not finite or beyond int32, or an extent beyond 2**21 voxels.
        TypeError: points that are not float64 (float32 would move points between voxels).
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points must have shape [V, 3], got {points.shape}")
    if points.dtype != np.float64:
        raise TypeError(f"points must be float64, got {points.dtype}")
    points = np.ascontiguousarray(points)
    cells = np.empty(points.shape, np.int32)
    wrong = floor_to_cells(points, 2.0**31 - 1, cells)
    if wrong >= 0:
        raise ValueError(f"point {wrong} is not finite or beyond int32: {tuple(points[wrong].tolist())}")
    first, inverse = _groups(cells)
    return Voxels(cells[first], first, inverse)


def downsample(coords: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parents of cells: `coords >> 1`, each once (torchsparse's floor(c / 2s) * 2s in units of the coarser level).

    Args:
        coords: integer [P, 3], distinct cells that fit int32, in any order.

    Returns:
        coarse int32 [Q, 3]: the parents in Morton order; children int32 [Q, 8]: column 4dx + 2dy + dz is the row of
        that child, -1 absent; slots int32 [P]: `parent * 8 + octant` of each cell.

    Raises:
        ValueError: wrong shape, a cell that occurs twice or beyond int32, or an extent beyond 2**21 cells.
        TypeError: coordinates that are not integers.
    """
    cells = _as_int32_cells(coords)
    parents = cells >> 1
    first, parent = _groups(parents)
    children, slots = np.full((len(first), 8), -1, np.int32), np.empty(len(cells), np.int32)
    earlier, later = _fill_children(cells, parent, children, slots)
    if later >= 0:
        raise ValueError(f"rows {earlier} and {later} hold the same cell {tuple(cells[later].tolist())}")
    return parents[first], children, slots


def build_pyramid(coords: np.ndarray, levels: int = 7) -> VoxelPyramid:
    """All tables of a scene's voxels.

    Args:
        coords: integer [P, 3], distinct voxels that fit int32. Rows keep their order; Morton order, as `unique_voxels`
            gives it, is the fast one.
        levels: L >= 1; level 0 is `coords`, level l + 1 its parents.

    Returns:
        VoxelPyramid.

    Raises:
        ValueError: fewer than one level, or as `neighbour_table` and `downsample`.
        TypeError: coordinates that are not integers.
    """
    if levels < 1:
        raise ValueError(f"a pyramid has at least 1 level, got {levels}")
    level_coords = [_as_int32_cells(coords)]
    neighbours, children, slots = [neighbour_table(level_coords[0])], [], []
    for _ in range(levels - 1):
        coarse, level_children, level_slots = downsample(level_coords[-1])
        level_coords.append(coarse)
        neighbours.append(neighbour_table(coarse))
        children.append(level_children)
        slots.append(level_slots)
    return VoxelPyramid(tuple(level_coords), tuple(neighbours), tuple(children), tuple(slots))


def _groups(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first row of each of P different cells in Morton order, int32 [P], and the place there of each, int32 [N]."""
    codes = morton_codes(cells)
    first, group = np.empty((2, len(cells)), np.int32)
    count = _number_groups(codes, argsort_codes(codes), first, group)
    return first[:count].copy(), group


def _as_int32_cells(coords: np.ndarray) -> np.ndarray:
    """Checked contiguous int32 [P, 3] of integer cells."""
    cells = as_cells(coords)
    if len(cells):
        low, high = int(cells.min()), int(cells.max())
        if low < -(2**31) or high >= 2**31:
            raise ValueError(f"cells reach from {low} to {high}, beyond int32")
    return np.ascontiguousarray(coords, np.int32)


@compiled
def _number_groups(codes, order, first, group):
    """Numbers runs of equal codes along a stable order; returns their count."""
    count = 0
    for place in range(order.shape[0]):
        row = order[place]
        if place == 0 or codes[row] != codes[order[place - 1]]:
            first[count] = row
            count += 1
        group[row] = count - 1
    return count


@compiled
def _fill_children(cells, parent, children, slots):
    """Fills both tables; returns the rows of the first pair of equal cells, or (-1, -1)."""
    for row in range(cells.shape[0]):
        octant = (cells[row, 0] & 1) << 2 | (cells[row, 1] & 1) << 1 | (cells[row, 2] & 1)
        if children[parent[row], octant] >= 0:
            return np.int64(children[parent[row], octant]), row
        children[parent[row], octant] = row
        slots[row] = parent[row] * 8 + octant
    return -1, -1
