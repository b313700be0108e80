"""PLY files: ASCII and binary, any properties, any polygons. Counts are checked before anything is allocated.

Format: Greg Turk's PLY, 1994 (http://paulbourke.net/dataformats/ply/).
"""

import pathlib

import numpy as np

from kernels.host.jit import compiled
from preprocess.formats.colors import is_filler
from preprocess.formats.ply.colors import Surface, painted_colors, stored_colors
from preprocess.formats.ply.faces import find_faces, is_face_element
from preprocess.formats.ply.header import CUT, WRITE_AGAIN, Element, Header, parse_header
from preprocess.formats.text_numbers import Numbers, WordError, count_lines, plain_text, read_numbers
from preprocess.mesh.mesh import MeshError, RawMesh
from trainlib.core.text import pluralize


def read_ply(path: pathlib.Path, content: bytes) -> RawMesh:
    """The mesh in the bytes of a PLY file.

    Reads vertex x, y, z, `label` and the faces. The vertices' own colours come first. If there are none, or one for
    all, the texture that MeshLab names in a comment gives them, or the means of the faces' colours. A file without
    faces gives no polygons. `path` is for messages and for the pictures next to it. Raises MeshError if the file is
    damaged.
    """
    content = plain_text(path, content)
    header = parse_header(path, content)
    wanted = ("vertex", *(element.name for element in header.elements if is_face_element(element)))
    elements, unread = _read_elements(path, content, wanted)
    scalars = {name: values for name, values in elements.get("vertex", {}).items() if not isinstance(values, tuple)}
    vertex = {name.lower(): values for name, values in reversed(scalars.items())}
    missing = [name for name in "xyz" if name not in vertex]
    if missing:
        there = ", ".join(f"`{element.name}`" for element in header.elements)
        cause = f"no vertex property {', '.join(missing)}" if scalars else f"no element `vertex`; there are: {there}"
        raise MeshError(path, cause, WRITE_AGAIN)
    with np.errstate(invalid="ignore"):  # signalling NaN; the checks count them
        vertices = np.stack([vertex[name].astype(np.float64) for name in "xyz"], axis=1)
    faces = find_faces(path, header, elements)
    corners = whole_numbers(path, ", ".join(faces.properties) or "vertex_indices", faces.corners)
    notes = list(faces.notes)
    colors = stored_colors(path, header, "vertex", scalars)
    if colors is None or is_filler(colors):
        surface = Surface(corners, faces.counts, faces.element, elements.get(faces.element, {}))
        colors = painted_colors(path, header, vertex, surface, colors, notes)
    elif header.textures:
        notes.append(f"the vertices have colours, so the texture {header.textures[0]} is not used")
    if unread:
        notes.append(f"warning: {unread} follow the last element and are not read; are the counts right?")
    mesh = RawMesh(vertices, corners, faces.counts, colors, scalars.get("label"), notes, instead=faces.instead)
    mesh.float32 = _has_float32_places(header)
    return mesh


def _has_float32_places(header: Header) -> bool:
    """Whether x, y or z of the vertices is declared as float."""
    vertex = next(element for element in header.elements if element.name == "vertex")
    return any(p.name.lower() in ("x", "y", "z") and p.type == "f4" for p in vertex.properties)


def read_elements(path: pathlib.Path, content: bytes) -> tuple[Header, dict[str, dict]]:
    """The header, and of every element {property: values [rows], or (flat values, lengths int64 [rows]) of a list}.

    Numbers of ASCII files come as float64, others in their own type. Raises MeshError.
    """
    content = plain_text(path, content)
    header = parse_header(path, content)
    return header, _read_elements(path, content, tuple(element.name for element in header.elements))[0]


def read_ply_labels(
    path: pathlib.Path, content: bytes, name: str = "label", element: str = "vertex"
) -> np.ndarray | None:
    """The property `name` of an element of a PLY file: int64 [rows], or None if it has no such number property."""
    elements, _ = _read_elements(path, plain_text(path, content), (element,))
    values = elements.get(element, {}).get(name)
    return None if values is None or isinstance(values, tuple) else whole_numbers(path, name, values)


def whole_numbers(path: pathlib.Path, name: str, values: np.ndarray) -> np.ndarray:
    """The values [N] of a property as int64 [N]. Raises MeshError if one is not a whole number of 32 bits."""
    with np.errstate(invalid="ignore"):
        integers = values.astype(np.int64)
    if values.dtype.kind == "f":
        fits = (integers == values) & (integers < 2**32) & (integers > -(2**32))
        if not fits.all():
            row = int(np.argmin(fits))
            cause = f"value {row} of the property `{name}` is {values[row]:g}, which is not a 32-bit integer"
            raise MeshError(path, cause, "Write it with an integer type.")
    return integers


def _read_elements(path: pathlib.Path, content: bytes, wanted: tuple[str, ...]) -> tuple[dict[str, dict], str]:
    """{element: {property: values, or (flat values, lengths int64) for a list}}, up to the last needed element.

    The second result names what follows the last element of the header ("17 bytes"); "" if nothing does, or if that
    element was not read.
    """
    header = parse_header(path, content)
    last = max((i for i, element in enumerate(header.elements) if element.name in wanted), default=-1)
    if not header.byte_order:
        return _read_text_elements(path, header, content, header.elements[: last + 1])
    source, position, result = np.frombuffer(content, np.uint8), header.start, {}
    for element in header.elements[: last + 1]:
        result[element.name], position = _read_element(path, element, source, position, header.byte_order)
    rest = len(source) - position if last == len(header.elements) - 1 and content[position:].strip() else 0
    return result, pluralize(rest, "byte") if rest else ""


def _read_text_elements(
    path: pathlib.Path, header: Header, content: bytes, elements: list[Element]
) -> tuple[dict[str, dict], str]:
    """`_read_elements` of an ASCII file: the numbers one after the other, wherever lines are broken.

    Raises MeshError with the line if each row has one line and a line does not fit the header.
    """
    numbers = _ascii_numbers(path, header, content)
    declared = sum(element.count for element in header.elements if element.properties)
    lines = np.count_nonzero(numbers.per_line)
    misfit = _misfit(header, numbers.values, *numbers.rows()) if lines >= declared else ""
    if misfit and lines == declared:
        raise MeshError(path, misfit, WRITE_AGAIN)
    result, position = {}, 0
    try:
        for element in elements:
            result[element.name], position = _read_element(path, element, numbers.values, position, "")
    except MeshError:
        if misfit:
            raise MeshError(path, misfit, WRITE_AGAIN) from None
        raise
    rest = len(numbers.values) - position if elements and elements[-1] is header.elements[-1] else 0
    if rest and misfit:
        raise MeshError(path, misfit, WRITE_AGAIN)
    return result, pluralize(rest, "number") if rest else ""


def _misfit(header: Header, values: np.ndarray, starts: np.ndarray, widths: np.ndarray, lines: np.ndarray) -> str:
    """The first line that does not hold the numbers of one row, "" if there is none.

    Args:
        values: float64 [N].
        starts, widths, lines: int64 [R], of each line with numbers the index of the first number, how many there are,
            and the number of the line.
    """
    first = 0
    for element in header.elements:
        if not element.properties:
            continue
        rows = slice(first, first + element.count)
        needed = _row_widths(element, values, starts[rows])
        wrong = np.flatnonzero(needed != widths[rows])
        if len(wrong):
            row, line = int(wrong[0]), first + int(wrong[0])
            lists = any(p.length_type for p in element.properties)
            what = "its list needs" if lists else "the header lists"
            row_of = f"line {lines[line]}: row {row + 1} of the element `{element.name}`"
            return f"{row_of} has {pluralize(int(widths[line]), 'number')}, {what} {max(int(needed[row]), 0)}"
        first += element.count
    return ""


def _row_widths(element: Element, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """How many numbers the rows that start at values[starts] have, by their own list lengths; int64 [rows]."""
    needed = np.zeros(len(starts), np.int64)
    for p in element.properties:
        if p.length_type:
            length = values[np.minimum(starts + needed, len(values) - 1)] if len(values) else np.zeros(len(starts))
            needed += np.where((length >= 0) & (length <= len(values)), np.nan_to_num(length), 0).astype(np.int64)
        needed += 1
    return needed


def _ascii_numbers(path: pathlib.Path, header: Header, content: bytes) -> Numbers:
    """All numbers after an ASCII header; refused first if the file is too short for the declared counts."""
    room = (len(content) - header.start + 1) // 2
    for element in header.elements:
        if element.count * len(element.properties) > room:
            raise _truncated(path, element, room // max(len(element.properties), 1))
    try:
        return read_numbers(content[header.start :], 1 + count_lines(content[: header.start]))
    except WordError as error:
        raise MeshError(path, f"{error}", WRITE_AGAIN) from None


def _truncated(path: pathlib.Path, element: Element, present: int) -> MeshError:
    cause = f"element {element.name!r} declares {pluralize(element.count, 'row')}, but the file has room for {present}"
    return MeshError(path, cause, CUT)


def _read_element(
    path: pathlib.Path, element: Element, source: np.ndarray, position: int, order: str
) -> tuple[dict, int]:
    """Columns of one element and the position after it.

    Args:
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

    Args:
        sizes: int64 [properties, 2], of one item and of the list length (0: no list).

    Returns:
        starts and lengths, int64 [count, properties] or [0, properties] unless `stored`, and the end position, or minus
        (the first row that runs over the end or has a list length that is not a count) minus 1.
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
