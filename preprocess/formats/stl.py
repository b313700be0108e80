"""STL, text and binary: three vertices a triangle, in corner order; equal corners are welded later."""

import itertools
import pathlib
import re

import numpy as np

from preprocess.formats.colors import GREY
from preprocess.formats.text_numbers import EXPORT_AGAIN, WordError, file_numbers, plain_text, read_numbers
from preprocess.mesh.mesh import MeshError, RawMesh
from trainlib.core.text import pluralize

_HEADER = 84
_TRIANGLE = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_BEGIN = 4096
"""Number of bytes that decide between text and binary."""
_WORDS = re.compile(rb"\b(solid|facet)\b", re.IGNORECASE)
_SOLID = re.compile(rb"solid\b(?:(?!\bfacet\b)[^\n])*")
_END_OF_SOLID = re.compile(rb"end[ \t]*solid\b")
_END_OF_FACET = re.compile(rb"end[ \t]*facet\b")
_VERTEX_LINE = re.compile(rb"vertex[ \t]+([^\n]*)")
_VERTEX = re.compile(rb"\bvertex((?:\s+(?!vertex|end)\S+){0,4})")
_CUT = "The file was cut off; copy or export it again."
_NO_SURFACE = "Export it again with a surface."
_MATERIALISE = b"COLOR="
_VALID = 1 << 15
"""The bit of a triangle's attribute that VisCAM sets if the other bits are a colour. Materialise clears it."""


def read_stl(path: pathlib.Path, content: bytes) -> RawMesh:
    """Text or binary, decided by size and content, not by the first word. Raises MeshError.

    Triangles have colours if a binary file has them, as VisCAM, SolidView and Materialise write them.
    """
    declared = int.from_bytes(content[80:_HEADER], "little")
    binary_size = _HEADER + declared * _TRIANGLE.itemsize
    text = b"" if len(content) == binary_size else plain_text(path, content)
    if text and b"\0" not in text[:_BEGIN] and _WORDS.search(text[:_BEGIN]):
        return _read_text(path, text.lower().replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    return _read_binary(path, content, declared, binary_size)


def _read_text(path: pathlib.Path, text: bytes) -> RawMesh:
    """The `vertex` lines; text: in small letters, with LF for line ends."""
    words = _SOLID.sub(b"", text)
    rows = _VERTEX_LINE.findall(words)
    try:
        numbers = read_numbers(b"\n".join(rows))
    except WordError:
        numbers = None
    if numbers is None or len(rows) != words.count(b"vertex") or (numbers.per_line[: len(rows)] != 3).any():
        rows = [row.replace(b"\n", b" ") for row in _VERTEX.findall(words)]  # lines are broken elsewhere, or damaged
        numbers = file_numbers(path, b"\n".join(rows), line_of=lambda line: _line(words, line - 1))
    widths = numbers.per_line[: len(rows)]
    wrong = np.flatnonzero(widths != 3)
    if len(wrong):
        cause = f"line {_line(words, int(wrong[0]))}: a `vertex` line has {widths[wrong[0]]} numbers instead of 3"
        raise MeshError(path, cause, _CUT if wrong[0] == len(rows) - 1 else EXPORT_AGAIN)
    vertices = numbers.values.reshape(-1, 3)
    facets, closed = len(_END_OF_FACET.findall(words)), bool(_END_OF_SOLID.search(text))
    whole = closed or not facets or words.rstrip().endswith(b"facet")
    if not whole or len(vertices) != 3 * facets:
        cause = f"{pluralize(len(vertices), 'vertex line')} for {pluralize(facets, 'closed facet')}"
        raise MeshError(path, cause + ("" if closed else ", and no endsolid"), EXPORT_AGAIN if closed else _CUT)
    if not facets:
        raise MeshError(path, "the file has no triangles", _NO_SURFACE)
    notes = [] if closed else ["warning: the file has no endsolid; was it cut off?"]
    return RawMesh(vertices, np.arange(len(vertices)), np.full(facets, 3, np.int64), notes=notes)


def _line(text: bytes, row: int) -> int:
    """The line, from 1, of the row-th (from 0) `vertex`."""
    match = next(itertools.islice(_VERTEX.finditer(text), row, None))
    return 1 + text.count(b"\n", 0, match.start())


def _read_binary(path: pathlib.Path, content: bytes, declared: int, size: int) -> RawMesh:
    """A header of 80 bytes, the number of triangles that it declares, and 50 bytes for each."""
    if len(content) < size:
        cause = f"a binary STL with {pluralize(declared, 'triangle')} has {size} bytes, this file {len(content)}"
        raise MeshError(path, cause, "The file was cut off or is not an STL; copy or export it again.")
    if not declared:
        rest = len(content) - size
        after = f", but {pluralize(rest, 'byte')} after the header" if rest else ""
        raise MeshError(path, f"the file declares no triangles{after}", _NO_SURFACE)
    triangles = np.frombuffer(content, _TRIANGLE, declared, _HEADER)
    with np.errstate(invalid="ignore"):  # signalling NaN; the checks count them
        vertices = triangles["corners"].reshape(-1, 3).astype(np.float64)
    notes = []
    if len(content) > size:
        notes.append(f"warning: {pluralize(len(content) - size, 'byte')} after the last triangle not read")
    colors = _triangle_colors(content[:80], triangles["attribute"], notes)
    colors = None if colors is None else np.repeat(colors, 3, axis=0)
    counts = np.full(declared, 3, np.int64)
    return RawMesh(vertices, np.arange(len(vertices)), counts, colors, notes=notes, float32=True)


def _triangle_colors(header: bytes, attribute: np.ndarray, notes: list[str]) -> np.ndarray | None:
    """Colours of triangles from five bits a channel, uint8 [F, 3], or None.

    Args:
        header: of 80 bytes; Materialise names there the colour of the triangles without one.
        attribute: uint16 [F].
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
