"""Counts what a mesh has that a clean surface lacks. All of it is kept, or ignored later."""

import numpy as np

from kernels.host.jit import compiled
from trainlib.core.text import pluralize

SLIVER = 1e-12
"""A face whose doubled area is below this part of its longest side's square has no area."""


def diagnostics(vertices: np.ndarray, faces: np.ndarray, surface: np.ndarray, positions: int) -> list[str]:
    """One sentence for each kind of finding in the mesh.

    Args:
        vertices: float64 [V, 3].
        faces: int32 [F, 3], rows of vertices.
        surface: int32 [F, 3], the same with vertices at one place welded, `positions` of them.
    """
    used = np.zeros(len(vertices), bool)
    used[faces.ravel()] = True
    repeated = (surface == surface[:, [1, 2, 0]]).any(axis=1)
    duplicate, crowded = _duplicates_and_crowded_edges(surface[~repeated], positions)
    found = [
        (len(vertices) - int(used.sum()), "isolated vertex", "kept"),
        (len(vertices) - positions, "vertex", "at the place of another kept"),
        (int(repeated.sum()), "face", "with a repeated corner ignored"),
        (int(_without_area(vertices, faces[~repeated])), "face", "without area kept"),
        (duplicate, "face", "with the corners of another kept"),
        (crowded, "edge", "of more than two faces (non-manifold) kept"),
    ]
    return [pluralize(*one) for one in found if one[0]]


def _duplicates_and_crowded_edges(surface: np.ndarray, positions: int) -> tuple[int, int]:
    """Faces [F, 3] that name the three vertices of another, and edges on more than two of the faces that remain."""
    low, high = surface.min(axis=1), surface.max(axis=1)
    middle = surface.sum(axis=1) - low - high
    pair = low.astype(np.int64) * positions + middle
    order = np.lexsort((high, pair))
    pair, high = pair[order], high[order].astype(np.int64)
    first = np.ones(len(order), bool)
    first[1:] = (pair[1:] != pair[:-1]) | (high[1:] != high[:-1])
    pair, high = pair[first], high[first]
    low, middle = np.divmod(pair, max(positions, 1))
    edges = np.sort(np.concatenate([pair, low * positions + high, middle * positions + high]))
    third = np.flatnonzero(edges[2:] == edges[:-2])
    return len(order) - len(pair), len(np.unique(edges[third]))


@compiled
def _without_area(vertices, faces):
    """Number of faces [F, 3] whose corners are on a line."""
    found = 0
    for face in range(len(faces)):
        a, b, c = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        doubled = (uy * vz - uz * vy) ** 2 + (uz * vx - ux * vz) ** 2 + (ux * vy - uy * vx) ** 2
        opposite = (ux - vx) ** 2 + (uy - vy) ** 2 + (uz - vz) ** 2
        longest = max(ux * ux + uy * uy + uz * uz, vx * vx + vy * vy + vz * vz, opposite)
        found += doubled <= (SLIVER * longest) ** 2
    return found
