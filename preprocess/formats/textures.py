"""Finds the files that a mesh file names, whichever system wrote them; reads textures and looks up their colours."""

import os
import pathlib
import re
import struct
import unicodedata
import warnings
import zlib

import numpy as np
from PIL import Image

from trainlib.core.pictures import to_rgb

_QUOTED = re.compile(r'"([^"]*)"|\'([^\']*)\'')
_COMMENT = re.compile(r"(?:^|\s)#.*")
_SEAM = 1e-5
"""A coordinate this near to a whole number is on the edge of the texture: exporters round."""

PILLOW_ERRORS = (OSError, ValueError, LookupError, TypeError, SyntaxError, EOFError, ArithmeticError, AttributeError)
PILLOW_ERRORS += (struct.error, zlib.error, Image.DecompressionBombError, NotImplementedError)
"""What Pillow raises for pictures that are damaged or of a kind that it does not decode, and for other files."""


def spellings(rest: str) -> list[str]:
    """What the rest of a line may mean as one name: all of it, without `# comment`, without quotes; none is empty."""
    found = [rest.strip(), _COMMENT.sub("", rest).strip()]
    for quoted in filter(None, map(_QUOTED.fullmatch, tuple(found))):
        found.append((quoted[1] or quoted[2] or "").strip())
    return [name for name in dict.fromkeys(found) if name]


def several(rest: str, ending: str) -> list[str]:
    """The names on one line: quoted ones, ones with blanks that have the ending (`.mtl`), and single words."""
    one = rf'"[^"]*"|\'[^\']*\'|\S.*?{re.escape(ending)}(?=\s|$)|\S+'
    return [name.strip("\"'") for name in re.findall(one, _COMMENT.sub("", rest), re.IGNORECASE)]


def find_beside(folder: pathlib.Path, rest: str) -> pathlib.Path | None:
    """The file that a line of a mesh or material file in `folder` names, in any spelling, or None.

    Tries the name, with slashes for back-slashes, in other case and other Unicode form, and its last part alone next
    to the file: paths of the machine that wrote it mean nothing here.
    """
    for name in spellings(rest):
        slashed = name.replace("\\", "/")
        for candidate in dict.fromkeys((name, slashed, slashed.rsplit("/", 1)[-1])):
            if candidate and "\0" not in candidate:
                if os.path.isfile(folder / candidate):
                    return folder / candidate
                found = None if candidate.startswith("/") else _in_other_case(folder, candidate)
                if found is not None:
                    return found
    return None


def _in_other_case(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """The file under `folder` whose path differs from `name` in case and Unicode form alone, or None."""
    here = folder
    for part in pathlib.PurePosixPath(name).parts:
        try:
            entries = [".."] if part == ".." else sorted(os.listdir(here))
        except OSError:
            return None
        match = next((entry for entry in entries if _folded(entry) == _folded(part)), None)
        if match is None:
            return None
        here = here / match
    return here if here.is_file() else None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def read_texture(path: str | os.PathLike) -> tuple[np.ndarray | None, str]:
    """A picture file of any mode as uint8 [H, W, 3] and "", or None and why it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return np.asarray(to_rgb(image)), ""
    except Image.DecompressionBombError:
        return None, f"it has more than {2 * Image.MAX_IMAGE_PIXELS} pixels"
    except NotImplementedError as error:
        return None, f"it is of a kind that is not read ({error})"
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
        wraps: of u and v beyond 0 and 1, each "repeat", "clamp" or "mirror".

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
