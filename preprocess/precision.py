"""A warning for coordinates so far from zero that the numbers of the file cannot hold the shape."""

import numpy as np

from preprocess.units import METRES

_FAR = 8
"""Extents from zero from which on a mesh is looked at."""
_OF_EDGE, _METRES = 0.05, 0.001
"""Steps from these on get a warning: of the median edge, and where the unit is known."""
_SAMPLED_FACES = 20_000
_DIGITS = 6
"""What `%g` writes."""


def precision_notes(vertices: np.ndarray, faces: np.ndarray, units: str) -> list[str]:
    """At most one warning, with the step between neighbouring numbers at the mesh's largest coordinate.

    32-bit numbers are told by their values: all of them are such numbers. Text with six digits is told likewise.

    vertices: float64 [V, 3], finite, in the file's frame. faces: int32 [F, 3]. units: a key of METRES.
    """
    reach, extent = float(np.abs(vertices).max()), float(np.ptp(vertices, axis=0).max())
    if reach < _FAR * extent:
        return []
    edge = _median_edge(vertices, faces)
    metres = METRES[units]
    step, digits = float(np.spacing(np.float32(reach))), 10.0 ** (np.floor(np.log10(max(reach, 1e-300))) - _DIGITS + 1)
    what = ""
    if digits >= _OF_EDGE * edge and _multiples(vertices, digits):
        what, step = "the numbers of six digits in the file", digits
    elif (step >= _OF_EDGE * edge or (metres is not None and step * metres >= _METRES)) and _are_float32(vertices):
        what = "numbers of 32 bits"
    if not what:
        return []
    apart = f"where {what} are {step:.3g} apart (median edge {edge:.3g})"
    return [f"warning: coordinates reach {reach:.7g}, {apart}; subtract an offset before exporting, or write 64 bits"]


def _are_float32(vertices: np.ndarray) -> bool:
    return bool((vertices == vertices.astype(np.float32)).all())


def _multiples(vertices: np.ndarray, step: float) -> bool:
    """Whether the coordinates along each axis that reach far enough are multiples of the step."""
    far = vertices[:, np.abs(vertices).max(axis=0) >= step * 10 ** (_DIGITS - 1)] / step
    return bool((np.abs(far - np.rint(far)) < 1e-6).all())


def _median_edge(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Of the sides with a length in a sample of the faces; 0 without any."""
    corners = vertices[faces[:: len(faces) // _SAMPLED_FACES + 1]]
    lengths = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    lengths = lengths[lengths > 0]
    return float(np.median(lengths)) if len(lengths) else 0.0
