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
    file_numbers,
    plain_text,
    whole_numbers,
    without_comments,
)
from preprocess.mesh.mesh import MeshError, RawMesh
from trainlib.core.text import pluralize

_NAME = re.compile(rb"\s*((?:ST|C|N|4|n)*)OFF(?![A-Za-z])")
_NAME_IN_ANY_CASE = re.compile(rb"\s*((?:ST|C|N|4)*)OFF(?![A-Za-z])", re.IGNORECASE)
_THREE_COUNTS = re.compile(rb"\s*\d+[ \t]+\d+[ \t]+\d+[ \t]*[\r\n]")
_BINARY = re.compile(rb"[ \t]*BINARY[ \t]*(?:\r\n|\n|\r)", re.IGNORECASE)
_TWO_COUNTS = re.compile(rb"\s*(\d{1,18})[^\S\r\n]+(\d{1,18})[^\S\r\n]*(?=[\r\n]|\Z)")
_COUNTS = re.compile(rb"\s*(\d{1,18})\s+(\d{1,18})\s+[+-]?\d{1,18}(?!\S)")
_CUT = "The file was cut off; copy or export it again."


class _Faces(NamedTuple):
    """Where the faces are among the numbers of the file, int64 [F] each.

    Attributes:
        starts: index of the first corner.
        counts: corners.
        extra: numbers after the corners.
    """

    starts: np.ndarray
    counts: np.ndarray
    extra: np.ndarray

    def corners(self) -> np.ndarray:
        """The index of each corner, one face after the other; int64 [sum(counts)]."""
        before = np.cumsum(self.counts) - self.counts
        return np.arange(int(self.counts.sum())) + np.repeat(self.starts - before, self.counts)


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
    start = 0 if name is None else name.end()
    counts = _TWO_COUNTS.match(text, start) or _COUNTS.match(text, start)  # the third, of edges, may be missing
    if counts is None:
        raise MeshError(path, "no vertex and face counts after OFF", EXPORT_AGAIN)
    num_vertices, num_faces = int(counts[1]), int(counts[2])
    numbers = file_numbers(path, text, counts.end())
    notes: list[str] = []
    width, faces = _layout(path, prefix, numbers, num_vertices, num_faces, notes=notes)
    places = faces.corners()
    of_corners = numbers.values[places]
    corners = whole_numbers(path, of_corners, "a corner of a face", lambda row: numbers.line_of(places[row]))
    table = numbers.values[: num_vertices * width].reshape(-1, width)
    return _mesh(prefix, table, corners, faces, numbers.values, notes=notes)


def _prefix(path: pathlib.Path, name: re.Match) -> str:
    """The letters before OFF: of ST, C and N. Raises MeshError for other dimensions."""
    prefix = name[1].decode()
    prefix = prefix if "n" in prefix and name.re is _NAME else prefix.upper()
    if "4" in prefix or "n" in prefix:
        raise MeshError(path, f"{prefix}OFF, whose points are not of three dimensions, is not read", EXPORT_AGAIN)
    return prefix


def _widths(prefix: str) -> tuple[int, ...]:
    """How many numbers a vertex may have."""
    if not prefix:
        return 3, 6, 7
    rest = 3 + 3 * ("N" in prefix) + 2 * ("ST" in prefix)
    return (rest + 3, rest + 4) if "C" in prefix else (rest,)


def _layout(
    path: pathlib.Path, prefix: str, numbers: Numbers, num_vertices: int, num_faces: int, *, notes: list[str]
) -> tuple[int, _Faces]:
    """Numbers of a vertex, and the faces: by lines, or by the counts alone where lines are broken elsewhere."""
    allowed, total = _widths(prefix), num_vertices + num_faces
    starts, widths, lines = numbers.rows()
    of_vertices, starts, of_faces = widths[:num_vertices], starts[num_vertices:total], widths[num_vertices:total]
    width = int(widths[0]) if num_vertices and len(widths) else allowed[0]
    wrong = np.flatnonzero(of_vertices != width) if width in allowed else np.arange(1)
    declared = numbers.values[starts]
    with np.errstate(invalid="ignore"):
        counts = declared.astype(np.int64)
    extra = of_faces - 1 - counts
    fit = (counts == declared) & (counts >= 0) & (extra >= 0)
    if len(lines) >= total and not len(wrong) and fit.all():
        if len(lines) > total:
            rest = pluralize(len(lines) - total, "line")
            notes.append(f"warning: {rest} after the last face not read; are the counts right?")
        return width, _Faces(starts + 1, counts, extra)
    if 3 * num_vertices + num_faces <= len(numbers.values):
        faces = _Faces(*np.zeros((3, num_faces), np.int64))
        for likely in allowed:
            if _walk(numbers.values, num_vertices * likely, False, faces) == len(numbers.values):
                return likely, faces
    if len(lines) < total:
        raise _too_short(path, num_vertices, num_faces, f"{pluralize(len(lines), 'line')} present")
    if len(wrong):
        other = f"the first has {width}" if width in allowed else f"{prefix}OFF has {' or '.join(map(str, allowed))}"
        number = pluralize(int(of_vertices[wrong[0]]), "number")
        cause = f"line {lines[wrong[0]]}: vertex {wrong[0]} has {number}, {other}"
    else:
        face = int(np.argmin(fit))
        present = of_faces[face] - 1
        line = lines[num_vertices + face]
        cause = f"line {line}: face {face} declares {declared[face]:g} corners, its line has {present}"
    raise MeshError(path, cause, EXPORT_AGAIN)


def _too_short(path: pathlib.Path, num_vertices: int, num_faces: int, present: str) -> MeshError:
    declared = f"{pluralize(num_vertices, 'vertex')} and {pluralize(num_faces, 'face')} declared"
    return MeshError(path, f"{declared}, {present}", _CUT)


def _read_binary(path: pathlib.Path, content: bytes, prefix: str, start: int) -> RawMesh:
    """Big-endian integers and floats of 32 bits after `OFF BINARY`."""
    rest = (len(content) - start) // 4
    stored = np.frombuffer(content, ">i4", rest, start)
    items, floats = stored.astype(np.int32), stored.view(">f4")
    width = max(_widths(prefix)) if prefix else 3
    num_vertices, num_faces = (max(int(items[0]), 0), max(int(items[1]), 0)) if rest >= 3 else (0, 0)
    body = 3 + num_vertices * width
    fits = rest >= 3 and body + 2 * num_faces <= rest
    faces = _Faces(*np.zeros((3, num_faces if fits else 0), np.int64))
    end = _walk(items, body, True, faces)
    if not fits or end < 0:
        present = f"which {pluralize(4 * rest, 'byte')} of binary data cannot hold"
        raise _too_short(path, num_vertices, num_faces, present)
    with np.errstate(invalid="ignore"):  # signalling NaN; the checks count them
        values = floats.astype(np.float64)
    table = values[3:body].reshape(-1, width)
    corners = items[faces.corners()].astype(np.int64)
    left = len(content) - start - 4 * end
    notes = [f"warning: {pluralize(left, 'byte')} after the last face not read; are the counts right?"] if left else []
    return _mesh(prefix, table, corners, faces, values[1:], notes=notes)  # the number of components precedes a colour


def _mesh(
    prefix: str, table: np.ndarray, corners: np.ndarray, faces: _Faces, values: np.ndarray, *, notes: list[str]
) -> RawMesh:
    """The mesh of the vertices' numbers [V, 3 and more] and the faces, whose colours count if vertices have none.

    Args:
        values: [N], in which the colour of a face is at the index of the first number after its corners.
    """
    first = 3 + 3 * ("N" in prefix)
    colors = table[:, first : first + 3] if "C" in prefix or (not prefix and table.shape[1] > 3) else None
    if colors is not None and not prefix and table.shape[1] == 6 and len(colors):
        length = np.sqrt(np.einsum("vc,vc->v", colors, colors))
        units = (np.abs(length - 1) < 0.02) | (length == 0)  # normals are stored with few digits
        if (colors < 0).any() or (units.all() and length.any()):
            notes.append("the numbers after x y z are unit vectors or negative: normals, not colours (those need COFF)")
            colors = None
    if colors is None:
        indexed, colored = int((faces.extra == 1).sum()), (faces.extra == 3) | (faces.extra == 4)
        if indexed:
            notes.append(f"warning: {pluralize(indexed, 'face')} with the index of a colour map, which is not read")
        stored = values[(faces.starts + faces.counts)[colored][:, None] + np.arange(3)]
        of_faces = as_bytes(stored, notes) if colored.any() else None
        if of_faces is not None:
            read_as = f"read as {color_scale(stored)[1]}"
            notes.append(f"colours of {pluralize(len(stored), 'face')}, {read_as}, averaged at the vertices")
            of_corners = np.repeat(of_faces, faces.counts[colored], axis=0)
            colors, _ = corner_means(corners[np.repeat(colored, faces.counts)], of_corners, len(table))
    return RawMesh(table[:, :3].copy(), corners, faces.counts, colors, notes=notes)


@compiled
def _walk(values, place, binary, faces):
    """Fills in the faces, each found by the numbers of the one before; returns the end, or -1 if they do not fit.

    Args:
        values: [N]; the faces begin at index `place`.
        binary: after the corners comes a count of colour components, and these.
    """
    starts, counts, extra = faces
    for face in range(len(starts)):
        for part in range(2 if binary else 1):
            if place >= len(values):
                return -1
            count = np.int64(values[place])
            if count != values[place] or count < 0 or count > len(values) - place - 1:
                return -1
            if part == 0:
                starts[face], counts[face] = place + 1, count
            else:
                extra[face] = count
            place += 1 + count
    return place
