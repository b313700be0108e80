"""A warning for coordinates so far from zero that the numbers of the file cannot hold the shape."""

import numpy as np

from preprocess.mesh.units import METRES

_FAR = 8
"""Extents from zero from which on a mesh is looked at."""
_OF_EDGE, _METRES = 0.05, 0.001
"""Steps from these on get a warning: of the median edge, and where the unit is known."""
_SAMPLED_FACES = 20_000
_ROUNDED = 0.01
"""Part of a step by which decimals of a text may differ from the 32-bit number that was written."""
_DIGITS = 6
"""What `%g` writes."""


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
    edge, metres = _median_edge(vertices, faces), METRES[units]
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


def _median_edge(vertices: np.ndarray, faces: np.ndarray) -> float:
    """The median length of the sides in a sample of the faces, without zeros; 0 if none is left."""
    corners = vertices[faces[:: len(faces) // _SAMPLED_FACES + 1]]
    lengths = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    lengths = lengths[lengths > 0]
    return float(np.median(lengths)) if len(lengths) else 0.0
