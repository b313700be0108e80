"""The eight voxels around a point and their trilinear weights."""

import numpy as np

from kernels.host.jit import compiled
from kernels.host.voxel.hash_map import VoxelHash, build_hash, count_cells, lookup_octants
from kernels.host.voxel.morton import floor_to_cells


def trilinear_table(
    points: np.ndarray,
    coords: np.ndarray,
    level: int,
    hash: VoxelHash | None = None,
    dtype: type = np.float32,
) -> tuple[np.ndarray, np.ndarray]:
    """Which voxels a point reads and with which weights, as VMNet interpolates (torchsparse 1.1 `spdevoxelize`).

    A voxel's feature sits at its lower corner, with no shift by half a voxel. Weights of absent voxels are zero, the
    others are divided by their sum + 1e-8; a point without any voxel has zero weights only. Computed in float64.

    Args:
        points: float32 or float64 [V, 3], positions in voxel units of level 0, any sign.
        coords: integer [P, 3], distinct voxels of the level, in its own units (level 0 coordinates >> level).
        level: l >= 0, the stride is 2**l.
        hash: `build_hash(coords)`, if the caller has it already.
        dtype: np.float32 or np.float64, of the weights.

    Returns:
        corners int32 [V, 8], column 4dx + 2dy + dz, rows of coords, -1 absent; weights dtype [V, 8].

    Raises:
        ValueError: wrong shape, level or dtype, a position that is not finite or beyond 2**62, a hash of another number
            of voxels (that its voxels are those of coords is not checked), or as `build_hash`.
        TypeError: points that are no floats, or as `build_hash`.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points must have shape [V, 3], got {points.shape}")
    if points.dtype not in (np.float32, np.float64):
        raise TypeError(f"points must be float32 or float64, got {points.dtype}")
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"weights are float32 or float64, not {np.dtype(dtype)}")
    if not 0 <= level < 32:
        raise ValueError(f"level must be in 0..31, got {level}")
    if hash is None:
        hash = build_hash(coords)
    elif count_cells(hash) != len(coords):
        raise ValueError(f"the hash holds {count_cells(hash)} voxels, coords {len(coords)}")
    scaled = np.multiply(points, 0.5**level, dtype=np.float64)
    bases = np.empty(scaled.shape, np.int64)
    wrong = floor_to_cells(scaled, 2.0**62, bases)
    if wrong >= 0:
        raise ValueError(f"point {wrong} is not finite or beyond 2**62: {tuple(points[wrong].tolist())}")
    corners = lookup_octants(hash, bases)
    weights = np.empty(corners.shape, dtype)
    _fill_weights(scaled, bases, corners, weights)
    return corners, weights


@compiled
def _fill_weights(points, bases, corners, weights):
    products = np.empty(8, np.float64)
    for row in range(points.shape[0]):
        x = points[row, 0] - bases[row, 0]
        y = points[row, 1] - bases[row, 1]
        z = points[row, 2] - bases[row, 2]
        total = 0.0
        for k in range(8):
            weight = (x if k & 4 else 1.0 - x) * (y if k & 2 else 1.0 - y) * (z if k & 1 else 1.0 - z)
            products[k] = weight if corners[row, k] >= 0 else 0.0
            total += products[k]
        for k in range(8):
            weights[row, k] = products[k] / (total + 1e-8)
