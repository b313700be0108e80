"""Pictures of any mode as 8-bit RGB. Pillow and NumPy are imported when a picture is converted."""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
    from PIL import Image


def to_rgb(image: Image.Image) -> Image.Image:
    """An opened picture as 8-bit RGB; its alpha channel is dropped.

    Grey of 16 bits is scaled by its bit depth (65535 becomes 255), and so is grey of 32 bits that stays within 16 bits.
    32-bit grey that stays within 8 bits keeps its values. Floating-point grey counts as 0 to 1, 0 to 255 or 0 to 65535:
    the first of these that holds all its values. Grey outside these ranges is scaled linearly from its smallest to its
    largest value; NaN becomes black.
    """
    import numpy as np
    from PIL import Image

    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    whites = {"I": (255, 65535), "F": (1, 255, 65535)}.get(image.mode, ())
    whites = (65535,) if image.mode.startswith("I;16") else whites
    if not whites:
        return image.convert("RGB")
    values = np.asarray(image).astype(np.float64)
    finite = np.isfinite(values)
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 0.0)
    white = next((candidate for candidate in whites if low >= 0 and high <= candidate), None)
    low, high = (low, high) if white is None else (0.0, float(white))
    scaled = np.where(finite, (values - low) * (255 / max(high - low, 1e-300)), 0.0)
    return Image.fromarray(np.rint(scaled).clip(0, 255).astype(np.uint8), "L").convert("RGB")
