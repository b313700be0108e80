"""Random placement of a scene in the voxel grid: jitter, flip, rotation, scale, translation, colour shift.

Points are row vectors, `(v - origin) @ matrix + offset`, in voxel units. The training placement follows the original
program: a random linear map near the identity, a sign on its first entry only, the voxel scale, then a rotation; the
translation puts the scene at a random place inside a cube of `GRID_EXTENT` voxels. Evaluation draws a mirror, a
rotation and a translation only.
"""

from typing import NamedTuple

import numpy as np

GRID_EXTENT = 4096
JITTER = 0.1
COLOR_SHIFT = 0.1
ROTATIONS = ("z", "so3")


class Placement(NamedTuple):
    """Where one scene goes and how its colours move."""

    origin: np.ndarray  # float64 [3], subtracted first, which keeps scenes far from the origin precise
    matrix: np.ndarray  # float64 [3, 3], the scene's unit to voxel units, applied from the right
    offset: np.ndarray  # float64 [3], voxel units
    color_shift: np.ndarray  # float32 [3], added to colours in [-1, 1]

    def apply(self, points: np.ndarray) -> np.ndarray:
        """float64 [V, 3] in the scene's unit -> float64 [V, 3] in voxel units."""
        return (np.asarray(points, np.float64) - self.origin) @ self.matrix + self.offset

    def apply_to_normals(self, normals: np.ndarray) -> np.ndarray:
        """Unit normals [V, 3] of the moved surface, float32, still pointing outwards if mirrored; zero stays zero."""
        moved = np.asarray(normals, np.float64) @ np.linalg.inv(self.matrix).T
        length = np.linalg.norm(moved, axis=1, keepdims=True)
        return (moved / np.maximum(length, 1e-12)).astype(np.float32)


def rotation_z(theta: float) -> np.ndarray:
    """Rotation about the vertical for row vectors, float64 [3, 3]; theta in radians."""
    c, s = np.cos(theta), np.sin(theta)
    return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


def rotation_so3(rng: np.random.Generator) -> np.ndarray:
    """Uniform random rotation, float64 [3, 3] (QR of a Gaussian matrix with its signs fixed)."""
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def training_matrix(jitter: np.ndarray, sign: float, rotation: np.ndarray, voxel_size: float) -> np.ndarray:
    """(I + 0.1 jitter, its entry [0, 0] times sign) / voxel_size @ rotation.

    Args:
        jitter: float64 [3, 3], standard normal.
        sign: +1 or -1.
        rotation: float64 [3, 3].
        voxel_size: edge of a voxel in the scene's unit.
    """
    near_identity = np.eye(3) + JITTER * jitter
    near_identity[0, 0] *= sign
    return (near_identity / voxel_size) @ rotation


def random_offset(points: np.ndarray, r1: np.ndarray, r2: np.ndarray, extent: int = GRID_EXTENT) -> np.ndarray:
    """Translation float64 [3] that puts `points` at a random place inside [0, extent)^3, or around it if too large.

    Args:
        points: float64 [V, 3], already multiplied by the matrix.
        r1, r2: uniform draws in [0, 1)^3.
    """
    low, high = points.min(0), points.max(0)
    room = extent - high + low
    return -low + np.maximum(room - 0.001, 0) * r1 + np.minimum(room + 0.001, 0) * r2


def _rotation(rng: np.random.Generator, kind: str) -> np.ndarray:
    if kind == "z":
        return rotation_z(rng.uniform(0.0, 2.0 * np.pi))
    if kind == "so3":
        return rotation_so3(rng)
    raise ValueError(f"rotation is {kind!r}, known are {', '.join(ROTATIONS)}")


def _place(points: np.ndarray, matrix: np.ndarray, shift: np.ndarray, rng: np.random.Generator) -> Placement:
    origin = np.asarray(points, np.float64).min(0)
    offset = random_offset((points - origin) @ matrix, rng.random(3), rng.random(3))
    return Placement(origin, matrix, offset, shift.astype(np.float32))


def training_placement(
    points: np.ndarray, voxel_size: float, rng: np.random.Generator, rotation: str = "z"
) -> Placement:
    """A random training placement of points [V, 3] (the scene's unit): jitter, sign, rotation, place, colour shift."""
    jitter, sign = rng.standard_normal((3, 3)), rng.integers(0, 2) * 2 - 1
    matrix = training_matrix(jitter, sign, _rotation(rng, rotation), voxel_size)
    return _place(points, matrix, COLOR_SHIFT * rng.standard_normal(3), rng)


def evaluation_placement(
    points: np.ndarray, voxel_size: float, rng: np.random.Generator, rotation: str = "z"
) -> Placement:
    """A random rigid placement (one vote) of points [V, 3]: mirror in x, rotation, place; colours stay."""
    matrix = np.diag([rng.integers(0, 2) * 2.0 - 1.0, 1.0, 1.0]) / voxel_size @ _rotation(rng, rotation)
    return _place(points, matrix, np.zeros(3), rng)


def fixed_placement(points: np.ndarray, voxel_size: float) -> Placement:
    """The unaugmented placement of `points` [V, 3]: minimum at the origin, no rotation."""
    origin = np.asarray(points, np.float64).min(0)
    return Placement(origin, np.eye(3) * (1 / voxel_size), np.zeros(3), np.zeros(3, np.float32))
