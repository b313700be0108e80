"""Textures and their colours at texture coordinates, for the mesh formats that have them."""

import os
import struct
import warnings
import zlib

import numpy as np
from PIL import Image

from trainlib.core.pictures import to_rgb

WRAPS = ("repeat", "clamp", "mirror")
_SEAM = 1e-5
"""A coordinate this near to a whole number is on the edge of the texture: exporters round."""

PILLOW_ERRORS = (OSError, ValueError, LookupError, TypeError, SyntaxError, EOFError, ArithmeticError, AttributeError)
PILLOW_ERRORS += (struct.error, zlib.error, Image.DecompressionBombError, MemoryError, NotImplementedError)
"""What Pillow raises for damaged pictures and for other files."""


def read_texture(path: str | os.PathLike) -> tuple[np.ndarray | None, str]:
    """A picture file of any mode as uint8 [H, W, 3] and "", or None and why it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return np.asarray(to_rgb(image)), ""
    except Image.DecompressionBombError:
        return None, f"it has more than {2 * Image.MAX_IMAGE_PIXELS} pixels"
    except PILLOW_ERRORS:
        return None, "it is damaged or not a picture"


def sampled(image: np.ndarray, places: np.ndarray, wraps: tuple[str, str] = ("repeat", "repeat")) -> np.ndarray:
    """The texels that hold the given places.

    A whole number of 1 or more on a repeated axis is the far edge of the texture, not the near edge of its next copy:
    a face that reaches the edge of an atlas ends there.

    Args:
        image: uint8 [H, W, C], first row on top.
        places: float [N, 2], u to the right and v downwards from the upper left corner, 1 for the whole texture. Places
            that are not finite count as 0.
        wraps: of u and v beyond 0 and 1, each one of `WRAPS`.

    Returns:
        uint8 [N, C].
    """
    places = np.where(np.isfinite(places), places, 0.0)
    u, v = (_wrapped(places[:, axis], wrap) for axis, wrap in enumerate(wraps))
    height, width = image.shape[:2]
    column = np.minimum((u * width).astype(np.int64), width - 1)
    row = np.minimum((v * height).astype(np.int64), height - 1)
    return image[row, column]


def _wrapped(values: np.ndarray, wrap: str) -> np.ndarray:
    """Coordinates in [0, 1]."""
    nearest = np.rint(values)
    values = np.where(np.abs(values - nearest) < _SEAM, nearest, values)
    if wrap == "clamp":
        return values.clip(0.0, 1.0)
    if wrap == "mirror":
        return 1 - np.abs(values % 2 - 1)
    fraction = values - np.floor(values)
    return np.where((fraction == 0) & (values > 0), 1.0, fraction)
