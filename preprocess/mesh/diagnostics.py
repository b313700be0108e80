"""What a mesh has that a clean surface lacks, and what its numbers cannot hold. All of it is kept, or ignored later."""

import numpy as np

from kernels.host.jit import compiled
from preprocess.mesh.units import METRES
from trainlib.core.text import pluralize

SLIVER = 1e-12  # a face whose doubled area is below this part of its longest side's square has no area
_FAR = 8  # extents from zero from which on a mesh is looked at
_OF_EDGE, _METRES = 0.05, 0.001  # steps from these on get a warning: of the median edge, and where the unit is known
_SAMPLED_FACES = 20_000
_ROUNDED = 0.01  # part of a step by which decimals of a text may differ from the 32-bit number that was written
_DIGITS = 6  # what `%g` writes


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


def precision_notes(vertices: np.ndarray, faces: np.ndarray, units: str, float32: bool = False) -> list[str]:
    """At most one warning, with the step between neighbouring numbers at the mesh's largest coordinate.

    Where the file does not declare numbers of 32 bits (`float32`), their values show it, or that they have six digits.

    Args:
        vertices: float64 [V, 3], finite, in the file's frame.
        faces: int32 [F, 3].
        units: a key of METRES.
    """
    reach, extent = float(np.abs(vertices).max()), float(np.ptp(vertices, axis=0).max())
    if reach == 0 or reach < _FAR * extent:
        return []
    corners = vertices[faces[:: len(faces) // _SAMPLED_FACES + 1]]
    lengths = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    edge = float(np.median(lengths[lengths > 0])) if lengths.any() else 0.0
    metres = METRES[units]
    step, digits = float(np.spacing(np.float32(reach))), 10.0 ** (np.floor(np.log10(reach)) - _DIGITS + 1)
    too_large = step >= _OF_EDGE * edge or (metres is not None and step * metres >= _METRES)
    if digits >= _OF_EDGE * edge and _have_few_digits(vertices):
        what, step = "the numbers of six digits in the file", digits
    elif too_large and (float32 or _were_float32(vertices[:, np.argmax(np.abs(vertices).max(axis=0))], step)):
        what = "numbers of 32 bits"
    else:
        return []
    apart = f"where {what} are {step:.3g} apart (median edge {edge:.3g})"
    return [f"warning: coordinates reach {reach:.7g}, {apart}; subtract an offset before exporting, or write 64 bits"]


def _were_float32(column: np.ndarray, step: float) -> bool:
    """Whether coordinates [V] are 32-bit numbers, but for decimal rounding, and on no coarser grid."""
    rounded = column.astype(np.float32).astype(np.float64)
    return bool((np.abs(column - rounded) <= _ROUNDED * step).all() and (np.rint(column / step) % 2).any())


def _have_few_digits(vertices: np.ndarray) -> bool:
    """Whether six digits hold every coordinate."""
    magnitude = np.floor(np.log10(np.maximum(np.abs(vertices), np.finfo(float).tiny)))
    scaled = vertices / 10.0 ** (magnitude - _DIGITS + 1)
    return bool((np.abs(scaled - np.rint(scaled)) <= 1e-6).all())
