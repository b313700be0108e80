"""Vertex colours of any number type, of corners and of faces."""

import numpy as np

GREY = 128
"""The grey of anything without a colour, in uint8."""


def color_scale(colors: np.ndarray) -> tuple[float, str] | None:
    """The factor that scales colours to 0 to 255 and the name of their range, inferred from type and values.

    Args:
        colors: [N, 3] of any number type, finite and not negative.

    Returns:
        The factor and the name, or None if the colours exceed 16 bits.
    """
    largest = float(colors.max(initial=0))
    if colors.dtype == np.uint8:
        return 1.0, "0 to 255"
    if largest <= 1 and colors.dtype.kind == "f":
        return 255.0, "0 to 1"
    if largest <= 255:
        return 1.0, "0 to 255"
    return (255 / 65535, "16 bit") if largest <= 65535 else None


def as_bytes(colors: np.ndarray, notes: list[str]) -> np.ndarray | None:
    """Colours of faces [N, 3] of any number type as uint8 [N, 3].

    None, with a note, if one is not finite, negative or beyond 16 bits.
    """
    scale = color_scale(colors) if np.isfinite(colors).all() and not (colors < 0).any() else None
    if scale is None:
        notes.append("warning: the colours of the faces are not all 0 to 1, 0 to 255 or 16 bit, and are ignored")
        return None
    return np.rint(colors * scale[0]).astype(np.uint8)


def is_filler(colors: np.ndarray, grey: bool = False) -> bool:
    """Whether all colours [N, 3] are the same, or the same grey: programs write one if the colours are in a texture."""
    return len(colors) > 0 and bool((colors == (colors[0, 0] if grey else colors[0])).all())


def with_grey(colors: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Colours [V, 3] with the grey of their range where `known` bool [V] is not set; float64 [V, 3]."""
    usable = colors[known]
    usable = usable[np.isfinite(usable).all(axis=1) & (usable >= 0).all(axis=1)]
    scale = color_scale(usable) or (1.0, "")
    return np.where(known[:, None], colors, GREY / scale[0])


def corner_means(corners: np.ndarray, colors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean colour of the corners at each vertex.

    Args:
        corners: int64 [C], the vertex of each corner; those outside 0 to count - 1 are skipped.
        colors: uint8 or float [C, 3], 0 to 255.
        count: V, how many vertices there are.

    Returns:
        uint8 [V, 3], grey where a vertex has no corner, and bool [V], which vertices have one.
    """
    inside = (corners >= 0) & (corners < count)
    if not inside.all():
        corners, colors = corners[inside], colors[inside]
    hits = np.bincount(corners, minlength=count)
    known = hits > 0
    sums = np.stack([np.bincount(corners, colors[:, channel], count) for channel in range(3)], axis=1)
    mean = np.divide(sums, hits[:, None], out=np.full(sums.shape, float(GREY)), where=known[:, None])
    return np.rint(mean).astype(np.uint8), known
