"""Triangle lists: the checks at the library's doors, and the canonical form without degenerate or repeated faces."""

import numpy as np

from kernels.host.jit import compiled

MAX_FACES = 2**29 - 1
"""Four corner slots a face must be countable in int32."""

_SHORT = 24
"""Buckets up to this length are sorted by insertion. (NumPy's sort takes Numba a second to compile.)"""


def checked_mesh(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces as the kernels take them: contiguous, float64 and int32, every number usable.

    Args:
        vertices: float[V, 3] positions.
        faces: int[F, 3] rows of `vertices`; F may be 0.

    Returns:
        (float64[V, 3], int32[F, 3]), the arguments themselves where they already have that form.

    Raises:
        ValueError: wrong shape or type, a non-finite coordinate, a face index outside [0, V), too many rows.
    """
    vertices = np.ascontiguousarray(vertices, np.float64)
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ValueError(f"vertices must have shape [V, 3], got {vertices.shape}")
    faces = np.asarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(f"faces must have shape [F, 3], got {faces.shape}")
    if not np.issubdtype(faces.dtype, np.integer):
        raise ValueError(f"faces must be integers, got {faces.dtype}")
    if len(vertices) >= 2**31 or len(faces) > MAX_FACES:
        raise ValueError(f"{len(vertices)} vertices and {len(faces)} faces; at most 2^31 - 1 and {MAX_FACES}")
    finite = np.isfinite(vertices)
    if not finite.all():
        bad = np.flatnonzero(~finite.all(axis=1))
        raise ValueError(f"{len(bad)} of {len(vertices)} vertices are not finite, the first is vertex {bad[0]}")
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        bad = np.flatnonzero(((faces < 0) | (faces >= len(vertices))).any(axis=1))
        raise ValueError(f"face {bad[0]} is {faces[bad[0]].tolist()}, but there are {len(vertices)} vertices")
    return vertices, np.ascontiguousarray(faces, np.int32)


@compiled
def _sort_bucket(keys, start, stop):
    """Shell's sort: long buckets first in chains of every gap-th key, at last, as short ones, by insertion."""
    gap = 1
    while stop - start > _SHORT * gap:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(start + gap, stop):
            key = keys[i]
            j = i - gap
            while j >= start and keys[j] > key:
                keys[j + gap] = keys[j]
                j -= gap
            keys[j + gap] = key
        gap //= 3


@compiled
def _bucket_keys(faces, num_vertices):
    """Faces as keys (middle, highest, orientation) in buckets by their lowest vertex, without branches.

    Degenerate faces go to a bucket of their own behind those of the vertices.
    """
    starts = np.zeros(num_vertices + 2, np.int64)
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        degenerate = (a == b) | (b == c) | (c == a)
        starts[(num_vertices if degenerate else min(a, b, c)) + 1] += 1
    for v in range(num_vertices + 1):
        starts[v + 1] += starts[v]
    keys = np.empty(faces.shape[0], np.int64)
    fill = starts[:-1].copy()
    for f in range(faces.shape[0]):
        a, b, c = np.int64(faces[f, 0]), np.int64(faces[f, 1]), np.int64(faces[f, 2])
        degenerate = (a == b) | (b == c) | (c == a)
        lowest, highest = min(a, b, c), max(a, b, c)
        odd = (a > b) + (b > c) + (c > a) - 1
        bucket = num_vertices if degenerate else lowest
        keys[fill[bucket]] = ((a + b + c - lowest - highest) << 32) | (highest << 1) | odd
        fill[bucket] += 1
    return starts, keys


@compiled
def unique_faces(faces, num_vertices):
    """Faces without the degenerate and the repeated ones, in canonical order.

    A face is degenerate when it names a vertex twice, and repeats another when it names the same three vertices, in
    whatever order. The result does not depend on the order of the faces.

    Args:
        faces: int32[F, 3], indices in [0, num_vertices), not checked here.
        num_vertices: V.

    Returns:
        int32[G, 3]: each face starts with its lowest vertex and keeps its orientation; ascending by (lowest, middle,
        highest vertex). Of two repeats with opposite orientation the one that reads (lowest, middle, highest) stays.
    """
    starts, keys = _bucket_keys(faces, num_vertices)
    unique = np.empty((keys.shape[0], 3), np.int32)
    count = 0
    for v in range(num_vertices):
        _sort_bucket(keys, starts[v], starts[v + 1])
        previous = np.int64(-1)
        for i in range(starts[v], starts[v + 1]):
            pair = keys[i] >> 1
            if pair == previous:
                continue
            previous = pair
            middle, highest = np.int32(pair >> 31), np.int32(pair & 0x7FFFFFFF)
            unique[count, 0] = v
            unique[count, 1] = middle if keys[i] & 1 == 0 else highest
            unique[count, 2] = highest if keys[i] & 1 == 0 else middle
            count += 1
    return unique[:count].copy()
