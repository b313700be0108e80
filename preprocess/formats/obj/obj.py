"""Wavefront OBJ: vertices, polygons and, where the vertices have none, the colours of materials and textures."""

import itertools
import pathlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from kernels.host.jit import compiled
from preprocess.formats.colors import corner_means, is_filler, with_grey
from preprocess.formats.obj.mtl import read_materials
from preprocess.formats.text_numbers import (
    EXPORT_AGAIN,
    WordError,
    file_numbers,
    is_space,
    name_of,
    plain_text,
    without_comments,
    words_per_line,
)
from preprocess.mesh.mesh import MeshError, RawMesh
from trainlib.core.text import pluralize

_FACES = (b"f", b"fo")
_POLYPAINT = b"#MRGB"
_ROWS = (b"v", b"vt", b"f", b"mtllib", _POLYPAINT)
_READ = frozenset((b"v", b"vt", b"vn", b"usemtl", b"mtllib", *_FACES))
_SURFACES = frozenset((b"curv", b"curv2", b"surf", b"vp", b"bzp", b"bsp", b"cdc", b"cdp", b"res"))
"""Free-form curves and surfaces; the last five are of version 2."""
_KNOWN = frozenset(
    b"g o s mg l p cstype deg bmat step parm trim hole scrv sp end con usemap maplib shadow_obj trace_obj lod bevel "
    b"c_interp d_interp stech ctech call csh".split()
)
"""Keywords without vertices, faces or colours."""
_SHOWN = 5


@dataclass
class _Lines:
    """What follows the keywords that are read.

    Attributes:
        text: of the file.
        rows: the rests of the lines by their keyword, one of `_ROWS`.
        seen: two numbers a face: the `v` and the `vt` lines before it.
        materials: indices by name; the first applies to faces before any `usemtl`.
        changes: of the material: the number of faces before it, and the index.
        others: how many lines have another keyword.
    """

    path: pathlib.Path
    text: bytes
    rows: dict[bytes, list[bytes]] = field(default_factory=lambda: {keyword: [] for keyword in _ROWS})
    seen: list[int] = field(default_factory=list)
    materials: dict[bytes, int] = field(default_factory=lambda: {b"": 0})
    changes: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    others: Counter = field(default_factory=Counter)

    def number(self, keywords: tuple[bytes, ...], row: int) -> int:
        """The line of the file, from 1, of the row-th (from 0) line with one of the keywords."""
        numbered = enumerate(_logical_lines(self.text), start=1)
        split = ((number, without_comments(line).split(None, 1)) for number, line in numbered)
        found = (number for number, words in split if words and words[0].lower() in keywords)
        return next(itertools.islice(found, row, None))

    def numbers(self, keyword: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The numbers after a keyword [N]; where each of its lines begins and how many it has, int64 [rows]."""
        text = b"\n".join(self.rows[keyword])
        numbers = file_numbers(self.path, text, line_of=lambda line: self.number((keyword,), line - 1))
        widths = numbers.per_line[: len(self.rows[keyword])].astype(np.int64)
        return numbers.values, np.cumsum(widths) - widths, widths


@dataclass
class _Faces:
    """All faces.

    Attributes:
        vertex, texture: int64 [C], indices from 0 of each corner, -1 if absent.
        counts: int64 [F], corners.
        material: int64 [F], an index of `_Lines.materials`.
    """

    vertex: np.ndarray
    texture: np.ndarray
    counts: np.ndarray
    material: np.ndarray


def read_obj(path: pathlib.Path, content: bytes) -> RawMesh:
    """`v` and `f` (or `fo`) lines, in the order of the `v` lines, isolated ones too.

    A `v` line has x y z and possibly w, which is not used, and r g b and possibly a. Of 7 numbers the fourth is w if it
    is 1 on all lines and the last is not; else the last is a. Negative indices count back from the latest vertex.
    Without colours on the `v` lines, ZBrush's `#MRGB` lines are used. Without them, or if all are one filler,
    a vertex has the mean colour of its corners in the texture (`map_Kd`) or else the material (`Kd`). Vertices without
    a colour are grey if others have one. Raises MeshError if the file is damaged.
    """
    lines = _sorted_lines(path, plain_text(path, content))
    vertices, colors, notes = _vertices(lines)
    faces = _faces(lines)
    if colors is None and lines.rows[_POLYPAINT]:
        colors = _polypaint(lines, notes)
    if colors is None or is_filler(colors):
        colors = _material_colors(lines, faces, colors, notes)
    elif lines.rows[b"mtllib"]:
        notes.append("the vertices have colours, so its materials are not used")
    notes += _unread(lines)
    words = [word for word in (b"l", b"p", *sorted(_SURFACES)) if lines.others[word]]
    instead = ", ".join(pluralize(lines.others[word], f"`{word.decode()}` line") for word in words)
    return RawMesh(vertices, faces.vertex, faces.counts, colors, notes=notes, first=1, instead=instead)


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


def _sorted_lines(path: pathlib.Path, text: bytes) -> _Lines:
    """The lines by keyword."""
    lines = _Lines(path, text)
    rows, seen = lines.rows, lines.seen
    vertices, textures, faces = rows[b"v"], rows[b"vt"], rows[b"f"]
    for line in _logical_lines(text):
        words = _without_comment(line, lines) if b"#" in line else line.split(None, 1)
        if not words:
            continue
        keyword, rest = words if len(words) == 2 else (words[0], b"")
        if keyword not in _READ:
            keyword = keyword.lower()
        if keyword == b"f" or keyword == b"fo":
            faces.append(rest)
            seen += (len(vertices), len(textures))
        elif keyword in rows:
            rows[keyword].append(rest)
        elif keyword == b"usemtl":
            lines.changes.append((len(faces), lines.materials.setdefault(rest.strip(), len(lines.materials))))
        elif keyword != b"vn":
            lines.others[keyword] += 1
    return lines


def _without_comment(line: bytes, lines: _Lines) -> list[bytes]:
    """Keyword and rest of a line with a `#`, which names of materials and files may contain; keeps `#MRGB` lines."""
    words = line.split(None, 1)
    if words[0].upper() == _POLYPAINT and len(words) == 2:
        lines.rows[_POLYPAINT].append(words[1])
        return []
    return words if words[0].lower() in (b"usemtl", b"mtllib") else without_comments(line).split(None, 1)


def _vertices(lines: _Lines) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Places float64 [V, 3], colours float64 [V, 3] or None, and notes."""
    values, starts, widths = lines.numbers(b"v")
    wrong = np.flatnonzero(~np.isin(widths, (3, 4, 6, 7, 8)))
    if len(wrong):
        number = pluralize(int(widths[wrong[0]]), "number")
        cause = f"line {lines.number((b'v',), int(wrong[0]))}: a `v` line has {number}, not 3, 4, 6, 7 or 8"
        raise MeshError(lines.path, cause, EXPORT_AGAIN)
    notes: list[str] = []
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


def _faces(lines: _Lines) -> _Faces:
    rows = b"\n".join(lines.rows[b"f"])
    per_line = words_per_line(rows)
    given = np.zeros((2, per_line.sum()), np.int64)
    bad = _parse_corners(np.frombuffer(rows, np.uint8), *given)
    if bad >= 0:
        row = int(np.searchsorted(np.cumsum(per_line), bad, side="right"))
        error = WordError(bad, lines.number(_FACES, row), rows.split()[bad])
        raise MeshError(lines.path, f"line {error.line}: {error.cause} of a vertex", EXPORT_AGAIN)
    counts = per_line[: len(lines.rows[b"f"])].astype(np.int64)
    starts, material = np.array(lines.changes).T
    material = np.repeat(material, np.diff(starts, append=len(counts)))
    indices = given - 1  # a missing one becomes -1
    if (given < 0).any():  # counted back from the lines before the face
        seen = np.array(lines.seen).reshape(-1, 2).T
        indices = np.where(given < 0, np.repeat(seen, counts, axis=1) + given, indices)
    return _Faces(*indices, counts, material)


def _polypaint(lines: _Lines, notes: list[str]) -> np.ndarray | None:
    """ZBrush's vertex colours, eight digits MMRRGGBB a vertex; uint8 [V, 3], or None if they do not fit."""
    try:
        table = np.frombuffer(bytes.fromhex(b"".join(lines.rows[_POLYPAINT]).decode("latin-1")), np.uint8)
    except ValueError:
        notes.append("warning: its `#MRGB` lines are not hexadecimal numbers and are ignored")
        return None
    if len(table) != 4 * len(lines.rows[b"v"]):
        found = f"{pluralize(len(table) // 4, 'colour')} for {pluralize(len(lines.rows[b'v']), 'vertex')}"
        notes.append(f"warning: its `#MRGB` lines have {found} and are ignored")
        return None
    return table.reshape(-1, 4)[:, 1:].copy()


def _material_colors(lines: _Lines, faces: _Faces, own: np.ndarray | None, notes: list[str]) -> np.ndarray | None:
    """Colours uint8 [V, 3] of materials and textures; `own` (None or a filler [V, 3]) if they are missing or grey."""
    of_faces = set(faces.material.tolist())
    used = {index: name_of(rest) for rest, index in lines.materials.items() if index in of_faces and rest}
    libraries = [name_of(rest.strip()) for rest in lines.rows[b"mtllib"]]
    by_name, more = read_materials(lines.path.parent, libraries, list(used.values()))
    notes += more
    materials = {index: by_name[name] for index, name in used.items() if name in by_name}
    textures = {id(material.texture) for material in materials.values() if material.texture is not None}
    plain = [m.color for m in materials.values() if m.texture is None and m.color is not None]
    coloured = any(len(set(color)) > 1 for color in plain) and (own is None or is_filler(own, grey=True))
    if not textures and not coloured:
        return own
    places = _texture_places(lines) if textures else np.zeros((0, 2))
    material = np.repeat(faces.material, faces.counts)
    inside = (faces.texture >= 0) & (faces.texture < len(places))
    chosen, colors = [np.zeros(0, np.int64)], [np.zeros((0, 3))]
    for index, found in materials.items():
        if found.texture is not None:
            chosen.append(np.flatnonzero((material == index) & inside))
            colors.append(found.texture.colors(places[faces.texture[chosen[-1]]]))
        elif found.color is not None:
            chosen.append(np.flatnonzero(material == index))
            colors.append(np.broadcast_to(found.color, (len(chosen[-1]), 3)))
    if own is not None:
        notes.append("all vertices have one colour, so its materials' colours are used")
    counted = f"{pluralize(len(textures), 'texture')} and {pluralize(len(plain), 'plain material')}"
    notes.append(f"colours from {counted} of the OBJ")
    return corner_means(faces.vertex[np.concatenate(chosen)], np.concatenate(colors), len(lines.rows[b"v"]))[0]


def _texture_places(lines: _Lines) -> np.ndarray:
    """u and v of the `vt` lines, float64 [N, 2]; v is 0 where a line has one number."""
    values, starts, widths = lines.numbers(b"vt")
    given = np.arange(2) < widths[:, None]
    return np.append(values, 0.0)[np.where(given, starts[:, None] + np.arange(2), -1)]


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
