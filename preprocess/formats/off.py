"""Object File Format of Geomview, text and binary (http://www.geomview.org/docs/html/OFF.html)."""

import pathlib
import re
from typing import NamedTuple

import numpy as np

from kernels.host.jit import compiled
from preprocess.formats.colors import as_bytes, color_scale, corner_means
from preprocess.formats.text_numbers import (
    EXPORT_AGAIN,
    Numbers,
    WordError,
    count_lines,
    plain_text,
    read_numbers,
    whole_numbers,
    without_comments,
)
from preprocess.mesh.mesh import MeshError, RawMesh
from trainlib.core.text import pluralize

_NAME = re.compile(rb"\s*((?:ST|C|N|4|n)*)OFF(?![A-Za-z])")
_NAME_IN_ANY_CASE = re.compile(rb"\s*((?:ST|C|N|4)*)OFF(?![A-Za-z])", re.IGNORECASE)
_THREE_COUNTS = re.compile(rb"\s*\d+[ \t]+\d+[ \t]+\d+[ \t]*[\r\n]")
_BINARY = re.compile(rb"[ \t]*BINARY[ \t]*(?:\r\n|\n|\r)", re.IGNORECASE)
_LINE = re.compile(rb"\s*([^\r\n]*)")
_TWO = rb"\s*(\d{1,18})\s+(\d{1,18})"
_COUNTS = {2: re.compile(_TWO + rb"(?!\S)"), 3: re.compile(_TWO + rb"\s+[+-]?\d{1,18}(?!\S)")}
_CUT = "The file was cut off; copy or export it again."
_UNIT = 0.02
"""How far the length of a stored normal may be from 1."""


class _Faces(NamedTuple):
    """Where the faces are among the numbers of the file, int64 [F] each.

    Attributes:
        corners: index of the first corner.
        counts: corners.
        colors: index of what follows the corners.
        extra: its length.
    """

    corners: np.ndarray
    counts: np.ndarray
    colors: np.ndarray
    extra: np.ndarray


def read_off(path: pathlib.Path, content: bytes) -> RawMesh:
    """OFF with any of the prefixes ST (texture coordinates), C (colours) and N (normals), as text or binary.

    Line breaks of a text may be anywhere if the numbers fit the counts. Columns after x y z of a file whose header does
    not name them are colours, or normals if all are unit vectors or one is negative. Without vertex colours
    the faces' colours are averaged. Raises MeshError if the file is damaged.
    """
    text = plain_text(path, content)
    name = _NAME.match(text) or _NAME_IN_ANY_CASE.match(text)
    binary = name and _BINARY.match(text, name.end())
    if binary:
        return _read_binary(path, text, _prefix(path, name), binary.end())
    text = without_comments(text)
    name = _NAME.match(text) or _NAME_IN_ANY_CASE.match(text)
    if name is None and not _THREE_COUNTS.match(text):
        raise MeshError(path, f"not an OFF: begins with {content[:40].decode('latin-1')!r}", EXPORT_AGAIN)
    prefix = "" if name is None else _prefix(path, name)
    num_vertices, num_faces, start = _counts(path, text, 0 if name is None else name.end())
    try:
        numbers = read_numbers(text[start:], 1 + count_lines(text[:start]))
    except WordError as error:
        raise MeshError(path, f"{error}", EXPORT_AGAIN) from None
    notes: list[str] = []
    width, faces = _layout(path, prefix, numbers, num_vertices, num_faces, notes)
    corners = whole_numbers(path, numbers, _places(faces.corners, faces.counts), "a corner of a face")
    table = numbers.values[: num_vertices * width].reshape(-1, width)
    return _mesh(prefix, table, corners, faces, numbers.values, notes)


def _prefix(path: pathlib.Path, name: re.Match) -> str:
    """The letters before OFF: of ST, C and N. Raises MeshError for other dimensions."""
    prefix = name[1].decode()
    prefix = prefix if "n" in prefix and name.re is _NAME else prefix.upper()
    if "4" in prefix or "n" in prefix:
        raise MeshError(path, f"{prefix}OFF, whose points are not of three dimensions, is not read", EXPORT_AGAIN)
    return prefix


def _counts(path: pathlib.Path, text: bytes, start: int) -> tuple[int, int, int]:
    """Declared vertices and faces, and where the data begin. The third count, of edges, may be missing."""
    words = _LINE.match(text, start)[1].split()
    found = _COUNTS[2 if len(words) == 2 else 3].match(text, start)
    if found is None:
        raise MeshError(path, "no vertex and face counts after OFF", EXPORT_AGAIN)
    return int(found[1]), int(found[2]), found.end()


def _widths(prefix: str) -> tuple[int, ...]:
    """How many numbers a vertex may have."""
    if not prefix:
        return 3, 6, 7
    rest = 3 + 3 * ("N" in prefix) + 2 * ("ST" in prefix)
    return (rest + 3, rest + 4) if "C" in prefix else (rest,)


def _layout(
    path: pathlib.Path, prefix: str, numbers: Numbers, num_vertices: int, num_faces: int, notes: list[str]
) -> tuple[int, _Faces]:
    """Numbers of a vertex, and the faces: by lines, or by the counts alone where lines are broken elsewhere."""
    starts, widths, lines = numbers.rows()
    enough = len(starts) >= num_vertices + num_faces
    if enough:
        vertex_widths = widths[:num_vertices]
        width = int(widths[0]) if num_vertices else _widths(prefix)[0]
        rows = slice(num_vertices, num_vertices + num_faces)
        declared = numbers.values[starts[rows]]
        with np.errstate(invalid="ignore"):
            counts = declared.astype(np.int64)
        extra = widths[rows] - 1 - counts
        even = width in _widths(prefix) and bool((vertex_widths == width).all())
        if even and ((counts == declared) & (counts >= 0) & (extra >= 0)).all():
            if len(starts) > num_vertices + num_faces:
                rest = pluralize(len(starts) - num_vertices - num_faces, "line")
                notes.append(f"warning: {rest} after the last face not read; are the counts right?")
            corners = starts[rows] + 1
            return width, _Faces(corners, counts, corners + counts, extra)
    if 3 * num_vertices + num_faces <= len(numbers.values):
        for likely in _widths(prefix):
            faces, end = _walk_faces(numbers.values, num_vertices * likely, num_faces, False)
            if end == len(numbers.values):
                return likely, faces
    if not enough:
        declared = f"{pluralize(num_vertices, 'vertex')} and {pluralize(num_faces, 'face')} declared"
        raise MeshError(path, f"{declared}, {pluralize(len(starts), 'line')} present", _CUT)
    raise MeshError(path, _first_misfit(prefix, width, vertex_widths, declared, widths[rows] - 1, lines), EXPORT_AGAIN)


def _first_misfit(
    prefix: str, width: int, widths: np.ndarray, declared: np.ndarray, present: np.ndarray, lines: np.ndarray
) -> str:
    """The first line that does not fit the header.

    Args:
        width: numbers of the first vertex.
        widths: [V], of each.
        declared, present: [F], corners of each face.
        lines: their numbers.
    """
    allowed = _widths(prefix)
    wrong = np.flatnonzero(widths != width) if width in allowed else np.zeros(1, int)
    if len(wrong):
        other = f"the first has {width}" if width in allowed else f"{prefix}OFF has {' or '.join(map(str, allowed))}"
        number = pluralize(int(widths[wrong[0]]), "number")
        return f"line {lines[wrong[0]]}: vertex {wrong[0]} has {number}, {other}"
    face = int(np.argmin((declared >= 0) & (declared <= present) & (declared == np.floor(declared))))
    line = lines[len(widths) + face]
    return f"line {line}: face {face} declares {declared[face]:g} corners, its line has {present[face]}"


def _read_binary(path: pathlib.Path, content: bytes, prefix: str, start: int) -> RawMesh:
    """Big-endian integers and floats of 32 bits after `OFF BINARY`."""
    rest = (len(content) - start) // 4
    stored = np.frombuffer(content, ">i4", rest, start)
    items, floats = stored.astype(np.int32), stored.view(">f4")
    width = max(_widths(prefix)) if prefix else 3
    num_vertices, num_faces = (max(int(items[0]), 0), max(int(items[1]), 0)) if rest >= 3 else (0, 0)
    body = 3 + num_vertices * width
    fits = rest >= 3 and body + 2 * num_faces <= rest
    faces, end = _walk_faces(items, body, num_faces, True) if fits else (None, -1)
    if faces is None or end < 0:
        declared = f"{pluralize(num_vertices, 'vertex')} and {pluralize(num_faces, 'face')} declared"
        raise MeshError(path, f"{declared}, which {pluralize(4 * rest, 'byte')} of binary data cannot hold", _CUT)
    with np.errstate(invalid="ignore"):  # signalling NaN; the checks count them
        values = floats.astype(np.float64)
    table = values[3:body].reshape(-1, width)
    corners = items[_places(faces.corners, faces.counts)].astype(np.int64)
    left = len(content) - start - 4 * end
    notes = [f"warning: {pluralize(left, 'byte')} after the last face not read; are the counts right?"] if left else []
    return _mesh(prefix, table, corners, faces, values, notes)


def _mesh(
    prefix: str, table: np.ndarray, corners: np.ndarray, faces: _Faces, values: np.ndarray, notes: list[str]
) -> RawMesh:
    """The mesh of the vertices' numbers [V, 3 and more] and the faces, whose colours are among `values`."""
    first = 3 + 3 * ("N" in prefix)
    colors = table[:, first : first + 3] if "C" in prefix or (not prefix and table.shape[1] > 3) else None
    if colors is not None and not prefix and table.shape[1] == 6 and _are_normals(colors):
        text = "the numbers after x y z are unit vectors or negative: normals, not colours (those need COFF)"
        notes.append(text)
        colors = None
    if colors is None:
        colors = _face_colors(len(table), corners, faces, values, notes)
    return RawMesh(table[:, :3].copy(), corners, faces.counts, colors, notes=notes)


def _are_normals(columns: np.ndarray) -> bool:
    """Whether three columns [V, 3] are directions: one is negative, or all have the length 1 (or 0)."""
    length = np.sqrt(np.einsum("vc,vc->v", columns, columns))
    units = (np.abs(length - 1) < _UNIT) | (length == 0)
    return len(columns) > 0 and bool((columns < 0).any() or (units.all() and length.any()))


def _face_colors(
    num_vertices: int, corners: np.ndarray, faces: _Faces, values: np.ndarray, notes: list[str]
) -> np.ndarray | None:
    """The mean colour of the faces at each vertex, uint8 [V, 3]; None if the faces have none."""
    indexed, colored = int((faces.extra == 1).sum()), (faces.extra == 3) | (faces.extra == 4)
    if indexed:
        notes.append(f"warning: {pluralize(indexed, 'face')} with the index of a colour map, which is not read")
    if not colored.any():
        return None
    stored = values[faces.colors[colored][:, None] + np.arange(3)]
    colors = as_bytes(stored)
    if colors is None:
        notes.append("warning: the colours of the faces are not all 0 to 1, 0 to 255 or 16 bit, and are ignored")
        return None
    scale = color_scale(stored)[1]
    notes.append(f"colours of {pluralize(len(colors), 'face')}, read as {scale}, averaged at the vertices")
    of_colored = np.repeat(colored, faces.counts)
    return corner_means(corners[of_colored], np.repeat(colors, faces.counts[colored], axis=0), num_vertices)[0]


def _places(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """starts[f], starts[f] + 1, ... of every face, one after the other; int64 [sum(counts)]."""
    before = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) + np.repeat(starts - before, counts)


def _walk_faces(values: np.ndarray, start: int, count: int, binary: bool) -> tuple[_Faces, int]:
    """The faces, each found by the corner count of the one before, and the end of the last; -1 if they do not fit.

    Args:
        values: [N].
        binary: after the corners comes a count of colour components, and these.
    """
    faces = _Faces(*(np.zeros(count, np.int64) for _ in range(4)))
    return faces, _walk(values, start, binary, *faces)


@compiled
def _walk(values, place, binary, corners, counts, colors, extra):
    """The loop of `_walk_faces`; returns the end or -1."""
    for face in range(len(corners)):
        if place >= len(values):
            return -1
        count = np.int64(values[place])
        if count != values[place] or count < 0 or count > len(values) - place - 1:
            return -1
        corners[face], counts[face] = place + 1, count
        place += 1 + count
        if binary:
            if place >= len(values):
                return -1
            components = np.int64(values[place])
            if components < 0 or components > len(values) - place - 1:
                return -1
            extra[face] = components
            place += 1 + components
            colors[face] = place - components
        else:
            colors[face] = place
    return place
