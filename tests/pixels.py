"""Looks at the pixels of a picture that a test has drawn."""

import pathlib

import numpy as np
from PIL import Image


def where(path: pathlib.Path, color: str, alpha: float = 1.0) -> np.ndarray:
    """bool [H, W]: the pixels of this colour, "#RRGGBB" at `alpha` on white, but for a few units of each channel."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    wanted = alpha * np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) + (1 - alpha) * 255
    return np.abs(pixels - wanted).max(-1) < 6


def count_by_panel(path: pathlib.Path, color: str, down: int, across: int) -> np.ndarray:
    """int [down, across]: the pixels of this colour in each part of a picture that is cut into a grid."""
    rows = np.array_split(where(path, color), down)
    return np.array([[part.sum() for part in np.array_split(row, across, axis=1)] for row in rows])
