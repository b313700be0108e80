"""STL, text and binary: three vertices a triangle, in corner order; equal corners are welded later."""

import pathlib
import re

import numpy as np

from preprocess.colors import GREY
from preprocess.mesh import MeshError, RawMesh, counted
from preprocess.text_numbers import EXPORT_AGAIN, WordError, plain_text, read_numbers

_HEADER = 84
_TRIANGLE = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_BEGIN = 4096
"""Bytes that are looked at to tell text from binary."""
_WORDS = re.compile(rb"\b(solid|facet)\b", re.IGNORECASE)
_SOLID = re.compile(rb"^[ \t]*(?:end[ \t]*)?solid\b(?:(?!\bfacet\b)[^\n])*", re.IGNORECASE | re.MULTILINE)
_END_OF_SOLID = re.compile(rb"\bend[ \t]*solid\b", re.IGNORECASE)
_END_OF_FACET = re.compile(rb"\bend[ \t]*facet\b", re.IGNORECASE)
_VERTEX = re.compile(rb"\bvertex((?:\s+(?!vertex|end)\S+){0,4})", re.IGNORECASE)
_CUT = "The file was cut off; copy or export it again."
_MATERIALISE = b"COLOR="
_VALID = 1 << 15
"""Of the attribute of a triangle: VisCAM sets it where the other bits are a colour, Materialise clears it there."""


def read_stl(path: pathlib.Path, content: bytes) -> RawMesh:
    """Text or binary, told by size and content, not by the first word. Raises MeshError.

    Colours are those of the triangles where a binary file has them, as VisCAM, SolidView and Materialise write them.
    """
    text = b"" if _is_binary_size(content) else plain_text(path, content)
    if text and b"\0" not in text[:_BEGIN] and _WORDS.search(text[:_BEGIN]):
        return _read_text(path, text.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    return _read_binary(path, content)


def _declared(content: bytes) -> int:
    """Triangles that the header of a binary file declares."""
    return int.from_bytes(content[80:_HEADER], "little")


def _is_binary_size(content: bytes) -> bool:
    """Whether a file has exactly the size that it has as a binary file."""
    return len(content) >= _HEADER and len(content) == _HEADER + _declared(content) * _TRIANGLE.itemsize


def _read_text(path: pathlib.Path, text: bytes) -> RawMesh:
    """The `vertex` lines; text: with LF for line ends."""
    words = _SOLID.sub(b"", text)
    found = _VERTEX.findall(words)
    try:
        numbers = read_numbers(b"\n".join(row.replace(b"\n", b" ") for row in found))
    except WordError as error:
        raise MeshError(path, f"line {_line(words, error.line - 1)}: {error.cause}", EXPORT_AGAIN) from None
    widths = numbers.per_line[: len(found)]
    ends = [match.end() for match in _END_OF_FACET.finditer(words)]
    facets = len(ends)
    short = np.flatnonzero(widths != 3)
    closed = bool(_END_OF_SOLID.search(text))
    if len(short) and (closed or short[0] < len(found) - 1):
        cause = f"line {_line(words, int(short[0]))}: a `vertex` line has {widths[short[0]]} numbers instead of 3"
        raise MeshError(path, cause, EXPORT_AGAIN)
    inside = not closed and facets > 0 and words[ends[-1] :].strip() != b""
    if len(short) or inside or len(found) != 3 * facets:
        cause = f"{counted(len(found), 'vertex line')} for {counted(facets, 'closed facet')}"
        raise MeshError(path, cause + ("" if closed else ", and no endsolid"), _CUT if not closed else EXPORT_AGAIN)
    if not facets:
        raise MeshError(path, "the file has no triangles", "Export it again with a surface.")
    notes = [] if closed else ["warning: the file has no endsolid; was it cut off?"]
    return _soup(numbers.values.reshape(-1, 3), None, notes)


def _line(text: bytes, row: int) -> int:
    """The line, from 1, of the row-th (from 0) `vertex`."""
    for index, match in enumerate(_VERTEX.finditer(text)):
        if index == row:
            return 1 + text.count(b"\n", 0, match.start())
    raise ValueError(f"no vertex {row}")


def _read_binary(path: pathlib.Path, content: bytes) -> RawMesh:
    """A header of 80 bytes, the number of triangles, and 50 bytes for each."""
    declared = _declared(content)
    size = _HEADER + declared * _TRIANGLE.itemsize
    if len(content) < size or len(content) < _HEADER:
        cause = f"a binary STL with {counted(declared, 'triangle')} has {size} bytes, this file {len(content)}"
        raise MeshError(path, cause, "The file was cut off or is no STL; copy or export it again.")
    if not declared:
        rest = len(content) - size
        after = f", but {counted(rest, 'byte')} after the header" if rest else ""
        raise MeshError(path, f"the file declares no triangles{after}", "Export it again with a surface.")
    triangles = np.frombuffer(content, _TRIANGLE, declared, _HEADER)
    with np.errstate(invalid="ignore"):  # signalling NaN; the checks count them
        vertices = triangles["corners"].reshape(-1, 3).astype(np.float64)
    notes = []
    if len(content) > size:
        notes.append(f"warning: {counted(len(content) - size, 'byte')} after the last triangle not read")
    return _soup(vertices, _triangle_colors(content[:80], triangles["attribute"], notes), notes)


def _triangle_colors(header: bytes, attribute: np.ndarray, notes: list[str]) -> np.ndarray | None:
    """Colours of triangles from five bits a channel, uint8 [F, 3], or None.

    header: of 80 bytes; Materialise names there the colour of the triangles without one. attribute: uint16 [F].
    """
    place = header.find(_MATERIALISE)
    own = place >= 0 and len(header) >= place + 9
    has_color = (attribute & _VALID == 0) if own else (attribute & _VALID != 0)
    rest = np.frombuffer(header[place + 6 : place + 9], np.uint8) if own else np.full(3, GREY, np.uint8)
    if not own and not has_color.any():
        if attribute.any():
            notes.append("the attributes of the triangles are not colours and are ignored")
        return None
    channels = np.stack([attribute >> shift & 31 for shift in ((0, 5, 10) if own else (10, 5, 0))], axis=1)
    colors = np.rint(channels * (255 / 31)).astype(np.uint8)
    notes.append(f"colours of the triangles, {int(has_color.sum())} of {len(attribute)} have one")
    return np.where(has_color[:, None], colors, rest)


def _soup(vertices: np.ndarray, colors: np.ndarray | None, notes: list[str]) -> RawMesh:
    """Three vertices a triangle; vertices: float64 [3 F, 3], colors: uint8 [F, 3] or None."""
    count = len(vertices) // 3
    of_corners = None if colors is None else np.repeat(colors, 3, axis=0)
    return RawMesh(vertices, np.arange(len(vertices)), np.full(count, 3, np.int64), of_corners, notes=notes)
