"""Wavefront OBJ: vertices, polygons and, where the vertices have none, the colours of materials and textures."""

import pathlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from kernels.host.jit import compiled
from preprocess.formats.colors import corner_means, is_filler, is_grey_filler, with_grey
from preprocess.formats.obj.mtl import Material, read_materials
from preprocess.formats.text_numbers import (
    EXPORT_AGAIN,
    Numbers,
    WordError,
    is_space,
    plain_text,
    read_numbers,
    without_comments,
    words_per_line,
)
from preprocess.mesh.mesh import MeshError, RawMesh
from trainlib.core.text import decode, pluralize

_FACES = (b"f", b"fo")
_READ = frozenset((b"v", b"vt", b"vn", b"usemtl", b"mtllib", *_FACES))
_SURFACES = frozenset((b"curv", b"curv2", b"surf", b"vp", b"bzp", b"bsp", b"cdc", b"cdp", b"res"))
"""Free-form curves and surfaces; the last five are of version 2."""
_KNOWN = frozenset(
    b"g o s mg l p cstype deg bmat step parm trim hole scrv sp end con usemap maplib shadow_obj trace_obj lod bevel "
    b"c_interp d_interp stech ctech call csh".split()
)
"""Keywords without vertices, faces or colours."""
_WIDTHS = (3, 4, 6, 7, 8)
_POLYPAINT = b"#MRGB"
_SHOWN = 5


@dataclass
class _Lines:
    """What follows the keywords that are read.

    Attributes:
        face_seen, face_texture_seen: `v` and `vt` lines before each face.
        face_material: index into `materials`, whose first applies to faces before any `usemtl`.
        others: how many lines have another keyword.
    """

    vertices: list[bytes] = field(default_factory=list)
    textures: list[bytes] = field(default_factory=list)
    faces: list[bytes] = field(default_factory=list)
    face_seen: list[int] = field(default_factory=list)
    face_texture_seen: list[int] = field(default_factory=list)
    face_material: list[int] = field(default_factory=list)
    materials: dict[bytes, int] = field(default_factory=lambda: {b"": 0})
    libraries: list[bytes] = field(default_factory=list)
    polypaint: list[bytes] = field(default_factory=list)
    others: Counter = field(default_factory=Counter)


@dataclass
class _Corners:
    """All faces: vertex and texture int64 [C], indices from 0, -1 if absent; counts int64 [F]."""

    vertex: np.ndarray
    texture: np.ndarray
    counts: np.ndarray


def read_obj(path: pathlib.Path, content: bytes) -> RawMesh:
    """`v` and `f` (or `fo`) lines, in the order of the `v` lines, isolated ones too.

    A `v` line has x y z and possibly w, which is not used, and r g b and possibly a. Of 7 numbers the fourth is w if it
    is 1 on all lines and the last is not; else the last is a. Negative indices count back from the latest vertex.
    Without colours on the `v` lines, ZBrush's `#MRGB` lines are used. Without them, or if all are one filler,
    a vertex has the mean colour of its corners in the texture (`map_Kd`) or else the material (`Kd`). Vertices without
    a colour are grey if others have one. Raises MeshError if the file is damaged.
    """
    text = plain_text(path, content)
    lines = _sorted_lines(text)
    vertices, colors, notes = _vertices(path, text, lines)
    corners = _corners(path, text, lines)
    if colors is None and lines.polypaint:
        colors = _polypaint(lines, notes)
    if colors is None or is_filler(colors):
        colors = _material_colors(path, text, lines, corners, colors, notes)
    elif lines.libraries:
        notes.append("the vertices have colours, so its materials are not used")
    notes += _unread(lines)
    return RawMesh(vertices, corners.vertex, corners.counts, colors, notes=notes, first=1, instead=_curves(lines))


def _logical_lines(text: bytes) -> list[bytes]:
    """The lines; one that ends with a back-slash is joined to the next and leaves an empty line in its place.

    Comments are not continued: they may end with the name of a folder.
    """
    lines = text.splitlines()
    if b"\\" not in text:
        return lines
    for number in range(len(lines) - 1):
        line = lines[number]
        if line.rstrip().endswith(b"\\") and b"#" not in line:
            lines[number], lines[number + 1] = b"", line.rstrip()[:-1] + b" " + lines[number + 1]
    return lines


def _sorted_lines(text: bytes) -> _Lines:
    """The lines by keyword."""
    lines, material = _Lines(), 0
    for line in _logical_lines(text):
        words = _without_comment(line, lines) if b"#" in line else line.split(None, 1)
        if not words:
            continue
        keyword, rest = words if len(words) == 2 else (words[0], b"")
        if keyword not in _READ:
            keyword = keyword.lower()
        if keyword == b"v":
            lines.vertices.append(rest)
        elif keyword == b"vt":
            lines.textures.append(rest)
        elif keyword in _FACES:
            lines.faces.append(rest)
            lines.face_seen.append(len(lines.vertices))
            lines.face_texture_seen.append(len(lines.textures))
            lines.face_material.append(material)
        elif keyword == b"usemtl":
            material = lines.materials.setdefault(rest.strip(), len(lines.materials))
        elif keyword == b"mtllib":
            lines.libraries.append(rest.strip())
        elif keyword != b"vn":
            lines.others[keyword] += 1
    return lines


def _without_comment(line: bytes, lines: _Lines) -> list[bytes]:
    """Keyword and rest of a line with a `#`, which names of materials and files may contain; keeps `#MRGB` lines."""
    words = line.split(None, 1)
    if words[0].upper() == _POLYPAINT and len(words) == 2:
        lines.polypaint.append(words[1])
        return []
    return words if words[0].lower() in (b"usemtl", b"mtllib") else without_comments(line).split(None, 1)


def _line_number(text: bytes, keywords: tuple[bytes, ...], row: int) -> int:
    """The line, from 1, of the row-th (from 0) line with one of the keywords."""
    for number, line in enumerate(_logical_lines(text), start=1):
        words = (without_comments(line) if b"#" in line else line).split(None, 1)
        if words and words[0].lower() in keywords:
            if row == 0:
                return number
            row -= 1
    raise ValueError(f"no line {row} of {keywords}")


def _numbers(path: pathlib.Path, text: bytes, keyword: bytes, rows: list[bytes]) -> tuple[Numbers, np.ndarray]:
    """The numbers after a keyword and how many each of its lines has, int64 [rows]."""
    try:
        numbers = read_numbers(b"\n".join(rows))
    except WordError as error:
        line = _line_number(text, (keyword,), error.line - 1)
        raise MeshError(path, f"line {line}: {error.cause}", EXPORT_AGAIN) from None
    return numbers, numbers.per_line[: len(rows)].astype(np.int64)


def _vertices(path: pathlib.Path, text: bytes, lines: _Lines) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Places float64 [V, 3], colours float64 [V, 3] or None, and notes."""
    numbers, widths = _numbers(path, text, b"v", lines.vertices)
    wrong = np.flatnonzero(~np.isin(widths, _WIDTHS))
    if len(wrong):
        line, width = _line_number(text, (b"v",), int(wrong[0])), int(widths[wrong[0]])
        cause = f"line {line}: a `v` line has {pluralize(width, 'number')}, not 3, 4, 6, 7 or 8"
        raise MeshError(path, cause, EXPORT_AGAIN)
    values, starts, notes = numbers.values, np.cumsum(widths) - widths, []
    vertices = values[starts[:, None] + np.arange(3)]
    known, first = widths >= 6, np.where(widths == 8, 4, 3)
    sevens = starts[widths == 7]
    if len(sevens):
        has_w = bool((values[sevens + 3] == 1).all() and not (values[sevens + 6] == 1).all())
        first[widths == 7] = 4 if has_w else 3
        notes.append(f"`v` lines of 7 numbers read as x y z {'w r g b' if has_w else 'r g b a'}")
    weights = values[starts[(widths == 4) | (first == 4)] + 3]
    if (weights != 1).any():
        notes.append(f"warning: the fourth number of {pluralize(int((weights != 1).sum()), '`v` line')} is ignored")
    if not known.any():
        return vertices, None, notes
    first[~known] = 0
    colors = values[(starts + first)[:, None] + np.arange(3)]
    if not known.all():
        notes.append(f"warning: {int((~known).sum())} of {pluralize(len(known), 'vertex')} have no colour and are grey")
        colors = with_grey(colors, known)
    return vertices, colors, notes


def _corners(path: pathlib.Path, text: bytes, lines: _Lines) -> _Corners:
    """The corners of all faces."""
    rows = b"\n".join(lines.faces)
    per_line = words_per_line(rows)
    vertex, texture = np.zeros(per_line.sum(), np.int64), np.zeros(per_line.sum(), np.int64)
    bad = _parse_corners(np.frombuffer(rows, np.uint8), vertex, texture)
    if bad >= 0:
        row = int(np.searchsorted(np.cumsum(per_line), bad, side="right"))
        error = WordError(bad, _line_number(text, _FACES, row), rows.split()[bad])
        raise MeshError(path, f"line {error.line}: {error.cause} of a vertex", EXPORT_AGAIN)
    counts = per_line[: len(lines.faces)].astype(np.int64)
    seen = (np.repeat(np.array(rows, np.int64), counts) for rows in (lines.face_seen, lines.face_texture_seen))
    return _Corners(*(_from_zero(given, before) for given, before in zip((vertex, texture), seen)), counts)


def _name(rest: bytes) -> str:
    """The text of a name in any encoding."""
    try:
        return decode(rest)
    except ValueError:
        return rest.decode("latin-1")


def _from_zero(given: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Indices from 1, or back from the lines that were `seen`, as indices from 0; 0 becomes -1."""
    return np.where(given < 0, seen + given, given - 1)


def _polypaint(lines: _Lines, notes: list[str]) -> np.ndarray | None:
    """ZBrush's vertex colours, eight digits MMRRGGBB a vertex; uint8 [V, 3], or None if they do not fit."""
    try:
        table = np.frombuffer(bytes.fromhex(b"".join(lines.polypaint).decode("latin-1")), np.uint8)
    except ValueError:
        notes.append("warning: its `#MRGB` lines are not hexadecimal numbers and are ignored")
        return None
    if len(table) != 4 * len(lines.vertices):
        found = pluralize(len(table) // 4, "colour")
        fits = f"warning: its `#MRGB` lines have {found} for {pluralize(len(lines.vertices), 'vertex')}"
        notes.append(f"{fits} and are ignored")
        return None
    return table.reshape(-1, 4)[:, 1:].copy()


def _material_colors(
    path: pathlib.Path,
    text: bytes,
    lines: _Lines,
    corners: _Corners,
    own: np.ndarray | None,
    notes: list[str],
) -> np.ndarray | None:
    """Colours uint8 [V, 3] of materials and textures; `own` (None or a filler [V, 3]) if they are missing or grey."""
    of_faces = set(lines.face_material)
    used = {index: _name(rest) for rest, index in lines.materials.items() if index in of_faces and rest}
    materials, more = read_materials(path.parent, [_name(rest) for rest in lines.libraries], list(used.values()))
    notes += more
    by_index = {index: materials[name] for index, name in used.items() if name in materials}
    textured = [material for material in by_index.values() if material.texture is not None]
    plain = [m.color for m in by_index.values() if m.texture is None and m.color is not None]
    coloured = any(len(set(color)) > 1 for color in plain) and (own is None or is_grey_filler(own))
    if not textured and not coloured:
        return own
    painted, colors = _painted_corners(path, text, lines, corners, by_index)
    means, _ = corner_means(corners.vertex[painted], colors, len(lines.vertices))
    if own is not None:
        notes.append("all vertices have one colour, so its materials' colours are used")
    textures = len({id(material.texture) for material in textured})
    notes.append(
        f"colours from {pluralize(textures, 'texture')} and {pluralize(len(plain), 'plain material')} of the OBJ"
    )
    return means


def _painted_corners(
    path: pathlib.Path, text: bytes, lines: _Lines, corners: _Corners, materials: dict[int, Material]
) -> tuple[np.ndarray, np.ndarray]:
    """Indices int64 [N] of the corners whose material has a colour there, and those colours float64 [N, 3]."""
    places = _texture_places(path, text, lines) if any(m.texture for m in materials.values()) else np.zeros((0, 2))
    material = np.repeat(np.array(lines.face_material, np.int64), corners.counts)
    inside = (corners.texture >= 0) & (corners.texture < len(places))
    chosen, colors = [np.zeros(0, np.int64)], [np.zeros((0, 3))]
    for index, found in materials.items():
        if found.texture is not None:
            chosen.append(np.flatnonzero((material == index) & inside))
            colors.append(found.texture.colors(places[corners.texture[chosen[-1]]]))
        elif found.color is not None:
            chosen.append(np.flatnonzero(material == index))
            colors.append(np.broadcast_to(found.color, (len(chosen[-1]), 3)))
    return np.concatenate(chosen), np.concatenate(colors)


def _texture_places(path: pathlib.Path, text: bytes, lines: _Lines) -> np.ndarray:
    """u and v of the `vt` lines, float64 [N, 2]; v is 0 where a line has one number."""
    numbers, widths = _numbers(path, text, b"vt", lines.textures)
    starts = np.cumsum(widths) - widths
    places = np.zeros((len(widths), 2))
    for axis in range(2):
        given = widths > axis
        places[given, axis] = numbers.values[starts[given] + axis]
    return places


def _curves(lines: _Lines) -> str:
    """What a file may hold instead of faces: "3 `l` lines"."""
    words = [word for word in (b"l", b"p", *sorted(_SURFACES)) if lines.others[word]]
    return ", ".join(pluralize(lines.others[word], f"`{word.decode()}` line") for word in words)


def _unread(lines: _Lines) -> list[str]:
    """Notes on lines that describe the shape and are not read, and on keywords that OBJ lacks."""
    notes = []
    surfaces = sorted(word for word in lines.others if word in _SURFACES)
    if surfaces:
        listed = ", ".join(f"{lines.others[word]} `{word.decode()}`" for word in surfaces)
        notes.append(f"warning: free-form curves and surfaces are not read ({listed})")
    unknown = sorted(word for word in lines.others if word not in _SURFACES and word not in _KNOWN)
    if unknown:
        total = pluralize(sum(lines.others[word] for word in unknown), "line")
        words = ", ".join(repr(word[:20].decode("latin-1")) for word in unknown[:_SHOWN])
        notes.append(f"warning: {total} with unknown keywords ignored: {words}{' ...' if unknown[_SHOWN:] else ''}")
    return notes


@compiled
def _parse_corners(source, vertex, texture):
    """Fills in the first and the second number of each `1/2/3`, 0 where it is missing; vertex, texture: int64 [words].

    Returns -1, or the index of the first word that has another form.
    """
    place, end = 0, len(source)
    for word in range(len(vertex)):
        while is_space(source[place]):
            place += 1
        for part in range(3):
            negative, digits, value = False, 0, np.int64(0)
            if place < end and (source[place] == 45 or source[place] == 43):
                negative = source[place] == 45
                place += 1
                digits = -1
            while place < end and 48 <= source[place] <= 57 and digits < 18:
                value = 10 * value + np.int64(source[place]) - 48
                digits = max(digits, 0) + 1
                place += 1
            if digits < 0:
                return word
            if part == 0:
                vertex[word] = -value if negative else value
            elif part == 1:
                texture[word] = -value if negative else value
            if place >= end or source[place] != 47:
                break
            place += 1
        if place < end and not is_space(source[place]):
            return word
    return -1
