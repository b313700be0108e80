"""Readers for OFF and STL. Each takes a path (for messages) and the file's bytes and returns a RawMesh."""

import itertools
import pathlib
import re
from collections.abc import Iterable

import numpy as np

from preprocess.mesh import MeshError, RawMesh, counted

_EXPORT_AGAIN = "Export it again, or convert it to PLY."
_STL_HEADER = 84
_STL_TRIANGLE = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_off(path: pathlib.Path, content: bytes) -> RawMesh:
    """OFF and COFF (a colour of three or four numbers after x y z), ASCII."""
    lines = [line.split(b"#", 1)[0].split() for line in content.splitlines()]
    lines = [words for words in lines if words]
    if not lines or lines[0][0] not in (b"OFF", b"COFF"):
        raise MeshError(path, f"not an ASCII OFF: begins with {content[:40].decode('latin-1')!r}", _EXPORT_AGAIN)
    head = lines[0][1:] or (lines[1] if len(lines) > 1 else [])
    body = lines[1:] if len(lines[0]) > 1 else lines[2:]
    if len(head) < 2 or not (head[0].isdigit() and head[1].isdigit()):
        raise MeshError(path, "no vertex and face counts after OFF", _EXPORT_AGAIN)
    num_vertices, num_faces = int(head[0]), int(head[1])
    if len(body) < num_vertices + num_faces:
        declared = f"{counted(num_vertices, 'vertex')} and {counted(num_faces, 'face')} declared"
        cause = f"{declared}, {counted(len(body), 'line')} present"
        raise MeshError(path, cause, "The file was cut off; copy or export it again.")
    vertex_lines, face_lines = body[:num_vertices], body[num_vertices : num_vertices + num_faces]
    widths = {len(words) for words in vertex_lines}
    if len(widths) > 1 or not widths <= {3, 6, 7}:
        raise MeshError(path, f"vertex lines with {sorted(widths)} numbers", _EXPORT_AGAIN)
    try:
        table = number_table(vertex_lines)
        counts = index_array(words[0] for words in face_lines)
        _check_corner_counts(path, counts, face_lines)
        flat = index_array(word for words, count in zip(face_lines, counts) for word in words[1 : 1 + count])
    except MeshError:
        raise
    except ValueError as error:
        raise MeshError(path, f"a line that is no list of numbers ({error})", _EXPORT_AGAIN) from None
    colors = table[:, 3:6] if widths & {6, 7} else None
    return RawMesh(table[:, :3].copy(), flat, counts, colors)


def _check_corner_counts(path: pathlib.Path, counts: np.ndarray, face_lines: list) -> None:
    """Every face line of an OFF file has as many corners as it declares."""
    present = np.array([len(words) - 1 for words in face_lines], np.int64)
    short = (counts > present) | (counts < 0)
    if short.any():
        face = int(np.argmax(short))
        cause = f"face {face} declares {counted(int(counts[face]), 'corner')}, its line has {present[face]}"
        raise MeshError(path, cause, _EXPORT_AGAIN)


def read_stl(path: pathlib.Path, content: bytes) -> RawMesh:
    """Binary or ASCII STL: three vertices a triangle, in corner order; equal corners are welded later."""
    declared = int.from_bytes(content[80:84], "little")
    size = _STL_HEADER + declared * _STL_TRIANGLE.itemsize
    if content[:5].lower() == b"solid" and len(content) != size:
        numbers = re.findall(rb"^\s*vertex\s+(\S+)\s+(\S+)\s+(\S+)\s*$", content, re.MULTILINE)
        try:
            vertices = number_table(numbers)
        except ValueError as error:
            raise MeshError(path, f"a `vertex` line that is no list of numbers ({error})", _EXPORT_AGAIN) from None
        facets = content.count(b"endfacet")
        if len(vertices) != 3 * facets or b"endsolid" not in content:
            cause = f"{counted(len(vertices), 'vertex line')} for {counted(facets, 'closed facet')}, or no endsolid"
            raise MeshError(path, cause, "The file was cut off; copy or export it again.")
    else:
        if len(content) < max(size, _STL_HEADER + 1):
            cause = f"a binary STL with {counted(declared, 'triangle')} has {size} bytes, this file {len(content)}"
            raise MeshError(path, cause, "The file was cut off or is no STL; copy or export it again.")
        triangles = np.frombuffer(content, _STL_TRIANGLE, declared, _STL_HEADER)
        with np.errstate(invalid="ignore"):  # signalling NaN; the checks count them
            vertices = triangles["corners"].reshape(-1, 3).astype(np.float64)
    return RawMesh(vertices, np.arange(len(vertices)), np.full(len(vertices) // 3, 3, np.int64))


def number_table(lines: list) -> np.ndarray:
    """Lines of equally many words, as bytes, to float64 [lines, words]; no lines give [0, 3]. Raises ValueError."""
    if not lines:
        return np.zeros((0, 3))
    width = len(lines[0])
    words = itertools.chain.from_iterable(lines)
    return np.fromiter(map(float, words), np.float64, width * len(lines)).reshape(-1, width)


def index_array(words: Iterable[bytes]) -> np.ndarray:
    """Whole numbers as bytes to int64 [words]. Raises ValueError for what is none or has more than 64 bits."""
    try:
        return np.fromiter(map(int, words), np.int64)
    except OverflowError:
        raise ValueError("an index of more than 64 bits") from None
