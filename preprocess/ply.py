"""PLY files: ASCII and binary, any properties, any polygons. Counts are checked before anything is allocated.

Format: Greg Turk's PLY, 1994 (http://paulbourke.net/dataformats/ply/).
"""

import pathlib
from dataclasses import dataclass, field

import numpy as np

from kernels.host.jit import compiled
from preprocess.mesh import MeshError, RawMesh, counted

_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
_TYPES |= {"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"}
_TYPES |= {"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"}
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_FACE_LISTS = ("vertex_indices", "vertex_index")
_COLOR_NAMES = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_LONGEST_HEADER = 1 << 20
_DIGITS = 18
"""Of a declared count: what int64 holds."""
_CUT = "The file was cut off or its header is wrong; copy or export it again."
_WRITE_AGAIN = "Export it again as PLY (ascii or binary, version 1.0)."


@dataclass
class Property:
    """name, NumPy type code, and for a list the type code of its length."""

    name: str
    type: str
    length_type: str | None = None


@dataclass
class Element:
    """name, declared count and properties in file order."""

    name: str
    count: int
    properties: list[Property] = field(default_factory=list)


@dataclass
class Header:
    """byte_order: "" for ASCII, "<" or ">". start: where the data begin in the file."""

    byte_order: str
    elements: list[Element]
    start: int


def read_ply(path: pathlib.Path, content: bytes) -> RawMesh:
    """The mesh in the bytes of a PLY file.

    path: for messages. Reads vertex x, y, z, colours, `label` and the faces' vertex list; ignores the rest. A file
    without faces gives no polygons. Raises MeshError.
    """
    elements, unread = _read_elements(path, content, ("vertex", "face"))
    vertex = {name: values for name, values in elements.get("vertex", {}).items() if not isinstance(values, tuple)}
    missing = [name for name in "xyz" if name not in vertex]
    if missing:
        raise MeshError(path, f"no vertex property {', '.join(missing)}", _WRITE_AGAIN)
    with np.errstate(invalid="ignore"):  # signalling NaN; the checks count them
        vertices = np.stack([vertex[name].astype(np.float64) for name in "xyz"], axis=1)
    names = next((names for names in _COLOR_NAMES if all(name in vertex for name in names)), None)
    colors = None if names is None else _colors(path, parse_header(path, content), vertex, names)
    corners, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for name, values in elements.get("face", {}).items():
        if name in _FACE_LISTS and isinstance(values, tuple):
            corners, counts = _integers(path, name, values[0]), values[1]
    notes = [f"warning: {unread} follow the last element and are not read; are the counts right?"] if unread else []
    return RawMesh(vertices, corners, counts, colors, _label(path, vertex), notes)


def read_elements(path: pathlib.Path, content: bytes) -> tuple[Header, dict[str, dict]]:
    """The header, and of every element {property: values [rows], or (flat values, lengths int64 [rows]) of a list}.

    Numbers of ASCII files come as float64, others in their own type. Raises MeshError.
    """
    header = parse_header(path, content)
    return header, _read_elements(path, content, tuple(element.name for element in header.elements))[0]


def _colors(path: pathlib.Path, header: Header, vertex: dict, names: tuple[str, str, str]) -> np.ndarray:
    """The three colour properties [V, 3] in the type that the header declares; ASCII numbers arrive as float64."""
    declared = {p.name: p.type for element in header.elements if element.name == "vertex" for p in element.properties}
    columns = []
    for name in names:
        values, dtype = vertex[name], np.dtype(declared[name])
        with np.errstate(invalid="ignore", over="ignore"):
            columns.append(values.astype(dtype))
        fits = columns[-1] == values
        if dtype.kind in "iu" and not fits.all():
            row = int(np.argmin(fits))
            cause = f"the property `{name}` is declared {dtype.name}, but vertex {row} has {values[row]:g}"
            raise MeshError(path, cause, "Declare it with the type of its numbers.")
    return np.stack(columns, axis=1)


def read_ply_labels(path: pathlib.Path, content: bytes) -> np.ndarray | None:
    """The vertex property `label` of a PLY file: int64 [V], or None if it has no such property."""
    return _label(path, _read_elements(path, content, ("vertex",))[0].get("vertex", {}))


def _label(path: pathlib.Path, vertex: dict) -> np.ndarray | None:
    """The property `label`, whatever number type it was written in."""
    values = vertex.get("label")
    return None if values is None or isinstance(values, tuple) else _integers(path, "label", values)


def _integers(path: pathlib.Path, name: str, values: np.ndarray) -> np.ndarray:
    """The values of a property as int64, if that is what they are and 32 bits hold them."""
    with np.errstate(invalid="ignore"):
        integers = values.astype(np.int64)
    if values.dtype.kind == "f":
        fits = (integers == values) & (integers < 2**32) & (integers > -(2**32))
        if not fits.all():
            row = int(np.argmin(fits))
            cause = f"value {row} of the property `{name}` is {values[row]:g}, which is no 32-bit integer"
            raise MeshError(path, cause, "Write it with an integer type.")
    return integers


def parse_header(path: pathlib.Path, content: bytes) -> Header:
    """Elements and properties; line ends may be LF, CR LF or CR. Raises MeshError if it is not a PLY header."""
    if content[:3] != b"ply" or content[3:4] not in (b"\n", b"\r"):
        begin = content[:40].decode("latin-1")
        raise MeshError(path, f"not a PLY: begins with {begin!r}" if content else "not a PLY: the file is empty", _CUT)
    newline = b"\r\n" if content[3:5] == b"\r\n" else content[3:4]
    end = content.find(newline + b"end_header", 0, _LONGEST_HEADER)
    stop = content.find(newline, end + 1 + len(newline)) if end >= 0 else -1
    if end < 0:
        raise MeshError(path, "the PLY header has no end_header", _CUT)
    lines = content[:end].decode("latin-1").split(newline.decode())
    byte_order, elements = None, []
    for number, line in enumerate(lines[1:], start=2):
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) == 3 and words[1] in _FORMATS:
            byte_order = _FORMATS[words[1]]
        elif words[0] == "element" and len(words) == 3 and words[2].isdecimal() and len(words[2]) <= _DIGITS:
            elements.append(Element(words[1], int(words[2])))
        elif words[0] == "property" and elements and len(words) == 3 and words[1] in _TYPES:
            elements[-1].properties.append(Property(words[2], _TYPES[words[1]]))
        elif words[0] == "property" and elements and _is_list(words):
            elements[-1].properties.append(Property(words[4], _TYPES[words[3]], _TYPES[words[2]]))
        else:
            raise MeshError(path, f"line {number} of the PLY header is {line!r}", _WRITE_AGAIN)
    if byte_order is None:
        raise MeshError(path, "the PLY header has no format line", _WRITE_AGAIN)
    for names in ([e.name for e in elements], *([p.name for p in e.properties] for e in elements)):
        if len(set(names)) < len(names):
            raise MeshError(path, f"the PLY header has a name twice: {', '.join(names)}", _WRITE_AGAIN)
    return Header(byte_order, elements, len(content) if stop < 0 else stop + len(newline))


def _is_list(words: list[str]) -> bool:
    """`property list <integer type> <type> <name>`"""
    return len(words) == 5 and words[1] == "list" and words[3] in _TYPES and _TYPES.get(words[2], "f")[0] in "iu"


def _read_elements(path: pathlib.Path, content: bytes, wanted: tuple[str, ...]) -> tuple[dict[str, dict], str]:
    """{element: {property: values, or (flat values, lengths int64) for a list}}, up to the last wanted element.

    The second result says what lies after the last element of the header ("17 bytes"); "" if nothing does, or if that
    element was not read.
    """
    header = parse_header(path, content)
    last = max((i for i, element in enumerate(header.elements) if element.name in wanted), default=-1)
    if header.byte_order:
        source, position = np.frombuffer(content, np.uint8), header.start
    else:
        source, position = _ascii_numbers(path, header, content), 0
    result = {}
    for element in header.elements[: last + 1]:
        columns, position = _read_element(path, element, source, position, header.byte_order)
        result[element.name] = columns
    rest = len(source) - position if last == len(header.elements) - 1 else 0
    if header.byte_order and not content[position:].strip():
        rest = 0
    return result, counted(rest, "byte" if header.byte_order else "number") if rest else ""


def _ascii_numbers(path: pathlib.Path, header: Header, content: bytes) -> np.ndarray:
    """All numbers after an ASCII header, float64; refused first if the file is too short for the declared counts."""
    room = (len(content) - header.start + 1) // 2
    for element in header.elements:
        if element.count * len(element.properties) > room:
            raise _truncated(path, element, room // max(len(element.properties), 1))
    try:
        return np.fromstring(content[header.start :], sep=" ")
    except ValueError:
        raise MeshError(path, "the ASCII data hold something that is no number", _CUT) from None


def _truncated(path: pathlib.Path, element: Element, present: int) -> MeshError:
    cause = f"element {element.name!r} declares {counted(element.count, 'row')}, but the file has room for {present}"
    return MeshError(path, cause, _CUT)


def _read_element(
    path: pathlib.Path, element: Element, source: np.ndarray, position: int, order: str
) -> tuple[dict, int]:
    """Columns of one element and the position after it.

    source: uint8 bytes (binary) or float64 numbers (ASCII, order ""); positions and sizes count its items.
    """
    unit = 1 if order else 8
    smallest = sum(np.dtype(p.length_type or p.type).itemsize if order else 1 for p in element.properties)
    present = (len(source) - position) // max(smallest, 1)
    if element.count > present:
        raise _truncated(path, element, present)
    number = "" if order else "f8"
    types = [(number or p.type, p.length_type and (number or p.length_type)) for p in element.properties]
    if element.count == 0 or not element.properties:
        none = np.zeros(0, np.int64)
        empty = [np.zeros(0, type_) for type_, _ in types]
        return {p.name: (e, none) if p.length_type else e for p, e in zip(element.properties, empty)}, position
    sizes = np.array([[np.dtype(t).itemsize // unit, np.dtype(n).itemsize // unit if n else 0] for t, n in types])
    _, lengths, stop = _layout(source, position, 1, sizes, order, True)
    if stop >= 0:
        record = _record(element, types, lengths[0], order)
        stop = position + element.count * record.itemsize // unit
        if stop <= len(source):
            rows = source[position:stop].view(record)
            columns = _even_columns(element, rows, lengths[0])
            if columns is not None:
                return columns, stop
    _, _, stop = _layout(source, position, element.count, sizes, order, False)
    if stop < 0:
        raise _truncated(path, element, -stop - 1)
    starts, lengths, stop = _layout(source, position, element.count, sizes, order, True)
    columns = {}
    for i, p in enumerate(element.properties):
        dtype = np.dtype(order + types[i][0])
        values = np.empty(lengths[:, i].sum(), dtype)
        _gather(source, starts[:, i], lengths[:, i] * (dtype.itemsize // unit), values.view(source.dtype))
        columns[p.name] = (values, lengths[:, i]) if p.length_type else values
    return columns, stop


def _record(element: Element, types: list[tuple[str, str | None]], lengths: np.ndarray, order: str) -> np.dtype:
    """The row of an element whose lists all have the lengths of its first row."""
    fields = []
    for p, (type_, length_type), length in zip(element.properties, types, lengths):
        if p.length_type:
            fields += [(p.name + " length", order + length_type), (p.name, order + type_, (int(length),))]
        else:
            fields.append((p.name, order + type_))
    return np.dtype(fields)


def _even_columns(element: Element, rows: np.ndarray, lengths: np.ndarray) -> dict | None:
    """Columns of rows of equal size, or None if a list length differs from the first row's."""
    columns = {}
    for p, length in zip(element.properties, lengths):
        if p.length_type is None:
            columns[p.name] = rows[p.name]
        elif (rows[p.name + " length"] == length).all():
            columns[p.name] = rows[p.name].reshape(-1), np.full(len(rows), length, np.int64)
        else:
            return None
    return columns


def _layout(
    source: np.ndarray, position: int, count: int, sizes: np.ndarray, order: str, stored: bool
) -> tuple[np.ndarray, np.ndarray, int]:
    """Where each property of each row starts and how many items it has.

    sizes: int64 [properties, 2], of one item and of the list length (0: no list). Returns starts and lengths, int64
    [count, properties] or [0, properties] unless `stored`, and the end position, or minus (the first row that runs
    over the end or has a list length that is no count) minus 1.
    """
    starts = np.empty((count if stored else 0, len(sizes)), np.int64)
    lengths = np.empty_like(starts)
    return starts, lengths, _walk(source, position, count, sizes, order == ">", not order, starts, lengths)


@compiled
def _gather(source, starts, lengths, out):
    """Copies lengths[r] items from starts[r] on, row after row."""
    place = 0
    for row in range(len(starts)):
        for item in range(lengths[row]):
            out[place] = source[starts[row] + item]
            place += 1


@compiled
def _walk(source, position, count, sizes, big_endian, text, starts, lengths):
    """The loop of `_layout`: fills the rows that `starts` and `lengths` have and returns the end."""
    for row in range(count):
        for p in range(len(sizes)):
            length = np.int64(1)
            if sizes[p, 1]:
                if position + sizes[p, 1] > len(source):
                    return -row - 1
                if text:
                    length = np.int64(source[position])
                    if length != source[position]:
                        return -row - 1
                else:
                    length = np.int64(0)
                    for byte in range(sizes[p, 1]):
                        place = byte if big_endian else sizes[p, 1] - 1 - byte
                        length = (length << 8) | np.int64(source[position + place])
                position += sizes[p, 1]
            if length < 0 or length > (len(source) - position) // sizes[p, 0]:
                return -row - 1
            if row < len(starts):
                starts[row, p] = position
                lengths[row, p] = length
            position += length * sizes[p, 0]
    return position
