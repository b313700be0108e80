"""What a hand-held scan does to a room: parts nobody saw, holes, rough surfaces, uneven light and camera noise."""

import numpy as np
from scipy import ndimage, sparse, spatial

from kernels.host.jit import compiled
from preprocess.synthetic.solids import DistanceGrid


def smooth_noise(rng: np.random.Generator, points: np.ndarray, length: float) -> np.ndarray:
    """Random values f64[N], about N(0, 1), that change over `length` (m) from point to point (points f64[N,3])."""
    place = (points - points.min(0)) / length
    lattice = rng.standard_normal(np.ceil(place.max(0)).astype(int) + 2)
    return 1.6 * ndimage.map_coordinates(lattice, place.T, order=1)


def seen_from(grid: DistanceGrid, points: np.ndarray, normals: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """Whether at least one camera sees each point: bool[N].

    points f64[N,3], normals f64[N,3] of unit length, cameras f64[M,3], all in the grid's frame (m). A ray starts 1.5
    samples above the surface and is stopped by a solid of any thickness that the grid resolves.
    """
    return _seen(
        grid.distance,
        (points + 1.5 * grid.step * normals - grid.lower) / grid.step,
        np.ascontiguousarray(normals, np.float64),
        (cameras - grid.lower) / grid.step,
        grid.step,
    )


@compiled
def _sample(distance, x, y, z):
    """Trilinear value at (x, y, z) in grid units, which is moved into the grid."""
    x = min(max(x, 0.0), distance.shape[0] - 1.001)
    y = min(max(y, 0.0), distance.shape[1] - 1.001)
    z = min(max(z, 0.0), distance.shape[2] - 1.001)
    i, j, k = int(x), int(y), int(z)
    x, y, z = x - i, y - j, z - k
    total = 0.0
    for c in range(8):
        a, b, g = c >> 2, c >> 1 & 1, c & 1
        weight = (x if a else 1 - x) * (y if b else 1 - y) * (z if g else 1 - z)
        total += weight * distance[i + a, j + b, k + g]
    return total


@compiled
def _seen(distance, starts, normals, cameras, step):
    seen = np.zeros(len(starts), np.bool_)
    for n in range(len(starts)):
        for camera in cameras:
            way = camera - starts[n]
            length = np.sqrt((way * way).sum())
            way /= length
            if (way * normals[n]).sum() < 0.1:
                continue
            travelled = 0.0
            while travelled < length:
                x, y, z = starts[n] + travelled * way
                value = _sample(distance, x, y, z) / step
                if value < -0.1:
                    break
                travelled += min(max(value, 0.5), 2.0)
            if travelled >= length:
                seen[n] = True
                break
    return seen


def place_cameras(rng: np.random.Generator, grid: DistanceGrid, inside, count: int) -> np.ndarray:
    """Camera positions f64[count,3] at eye height in free air; `inside(rng)` draws a place (x, y) in the room."""
    cameras = []
    for _ in range(2000):
        place = np.append(inside(rng), rng.uniform(1.3, 2.0))
        index = tuple(np.rint((place - grid.lower) / grid.step).astype(int))
        if grid.distance[index] > 0.1:
            cameras.append(place)
            if len(cameras) == count:
                return np.array(cameras)
    raise RuntimeError(f"only {len(cameras)} of {count} camera positions are in free air")


def hole_mask(rng: np.random.Generator, points: np.ndarray, count: int) -> np.ndarray:
    """Points that fall into `count` random lumps of 4 to 15 cm, and a few single ones: bool[N]."""
    hit = rng.random(len(points)) < 0.0008
    tree = spatial.cKDTree(points)
    centres = points[rng.integers(len(points), size=count)]
    for centre, radius in zip(centres, np.clip(rng.gamma(2.0, 0.05, count), 0.04, 0.15)):
        near = np.array(tree.query_ball_point(centre, 1.4 * radius), np.int64)
        stretched = np.linalg.norm((points[near] - centre) * rng.uniform(0.7, 1.4, 3), axis=1)
        hit[near[stretched < radius]] = True
    return hit


def grow(mask: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The mask bool[V] and every vertex that shares a face with it."""
    grown = mask.copy()
    grown[faces[mask[faces].any(1)]] = True
    return grown


def keep_pieces(faces: np.ndarray, num_vertices: int, smallest: int) -> np.ndarray:
    """Faces i32[F',3] of the connected pieces that have at least `smallest` faces."""
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = sparse.coo_matrix((np.ones(len(edges), np.int8), edges.T), shape=(num_vertices, num_vertices))
    piece = sparse.csgraph.connected_components(graph, directed=False)[1][faces[:, 0]]
    return faces[np.bincount(piece)[piece] >= smallest]


def light(
    rng: np.random.Generator, grid: DistanceGrid, points: np.ndarray, normals: np.ndarray, colors: np.ndarray
) -> np.ndarray:
    """Colours u8[N,3] as a camera records them: two lamps, darker corners, a tint, blotches, and noise per vertex.

    points, normals f64[N,3] (m, unit length) in the grid's frame; colors f64[N,3] of the materials in 0..255.
    """
    lamps = points.mean(0) + rng.uniform((-1.5, -1.5, 1.0), (1.5, 1.5, 2.0), (2, 3))
    direct = np.zeros(len(points))
    for lamp in lamps:
        way = lamp - points
        direct += np.abs((way * normals).sum(1)) / np.linalg.norm(way, axis=1) / len(lamps)
    probe = (points + 0.15 * normals - grid.lower) / grid.step
    openness = np.clip(ndimage.map_coordinates(grid.distance, probe.T, order=1, mode="nearest") / 0.15, 0.35, 1)
    ambient = rng.uniform(0.6, 0.8)
    strength = (ambient + (1.15 - ambient) * direct) * (0.6 + 0.4 * openness) * rng.uniform(0.85, 1.1)
    tint = 1 + rng.normal(0, 0.05, 3)
    blotches = 7.0 * smooth_noise(rng, points, 0.25) + 5.0 * smooth_noise(rng, points, 1.0)
    noisy = colors * tint * strength[:, None] + blotches[:, None] + rng.normal(0, 6.0, colors.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
