"""PLY files: ASCII and binary, any properties, any polygons. Counts are checked before anything is allocated.

Format: Greg Turk's PLY, 1994 (http://paulbourke.net/dataformats/ply/).
"""

import pathlib
from collections.abc import Callable

import numpy as np

from kernels.host.jit import compiled
from preprocess.formats.colors import is_filler
from preprocess.formats.ply.header import CUT, WRITE_AGAIN, Element, Header, Property, parse_header
from preprocess.formats.ply.surface import find_faces, is_face_element, painted_colors, stored_colors
from preprocess.formats.text_numbers import Numbers, file_numbers, plain_text, whole_numbers
from preprocess.mesh.mesh import MeshError, RawMesh
from trainlib.core.text import pluralize


def read_ply(path: pathlib.Path, content: bytes) -> RawMesh:
    """The mesh in the bytes of a PLY file.

    Reads vertex x, y, z, `label` and the faces. The vertices' own colours come first. If there are none, or one for
    all, the texture that MeshLab names in a comment gives them, or the means of the faces' colours. A file without
    faces gives no polygons. `path` is for messages and for the pictures next to it. Raises MeshError if the file is
    damaged.
    """
    header, elements, unread = read_elements(path, content, lambda e: e.name == "vertex" or is_face_element(e))
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
    corners = whole_numbers(path, faces.corners, f"the property `{', '.join(faces.properties) or 'vertex_indices'}`")
    notes = list(faces.notes)
    colors = stored_colors(path, header, "vertex", scalars)
    if colors is None or is_filler(colors):
        colors = painted_colors(path, header, vertex, faces._replace(corners=corners), own=colors, notes=notes)
    elif header.textures:
        notes.append(f"the vertices have colours, so the texture {header.textures[0]} is not used")
    if unread:
        notes.append(f"warning: {unread} follow the last element and are not read; are the counts right?")
    mesh = RawMesh(vertices, corners, faces.counts, colors, scalars.get("label"), notes, instead=faces.instead)
    places = [
        p for e in header.elements if e.name == "vertex" for p in e.properties if p.name.lower() in ("x", "y", "z")
    ]
    mesh.float32 = any(p.type == "f4" for p in places)
    return mesh


def read_ply_labels(
    path: pathlib.Path, content: bytes, name: str = "label", element: str = "vertex"
) -> np.ndarray | None:
    """The property `name` of an element of a PLY file: int64 [rows], or None if it has no such number property."""
    values = read_elements(path, content, lambda e: e.name == element)[1].get(element, {}).get(name)
    if values is None or isinstance(values, tuple):
        return None
    return whole_numbers(path, values, f"the property `{name}`")


def read_elements(
    path: pathlib.Path, content: bytes, is_needed: Callable[[Element], bool] = lambda element: True
) -> tuple[Header, dict[str, dict], str]:
    """The header and the columns of the elements, up to the last needed one.

    Returns:
        The header; of every element {property: values [rows], or (flat values, lengths int64 [rows]) of a list}, which
        are float64 in ASCII files; and what follows the last element of the header ("17 bytes"), "" if nothing does or
        if that element is not needed.

    Raises:
        MeshError: the file is damaged. If each row of an ASCII file has one line, the first that does not fit is named.
    """
    content = plain_text(path, content)
    header = parse_header(path, content)
    order, elements, misfit = header.byte_order, list(header.elements), ""
    if order:
        source, position = np.frombuffer(content, np.uint8), header.start
    else:
        numbers, position = _ascii_numbers(path, header, content), 0
        source, lines = numbers.values, np.count_nonzero(numbers.per_line)
        rows = sum(element.count for element in elements if element.properties)
        misfit = _misfit(header, numbers) if lines >= rows else ""
        if misfit and lines == rows:
            raise MeshError(path, misfit, WRITE_AGAIN)
    while elements and not is_needed(elements[-1]):
        elements.pop()
    columns = {}
    try:
        for element in elements:
            columns[element.name], position = _read_element(path, element, source, position, order)
    except MeshError:
        if misfit:
            raise MeshError(path, misfit, WRITE_AGAIN) from None
        raise
    rest = len(source) - position if len(elements) == len(header.elements) else 0
    if rest and misfit:
        raise MeshError(path, misfit, WRITE_AGAIN)
    if not rest or (order and not content[position:].strip()):
        return header, columns, ""
    return header, columns, pluralize(rest, "byte" if order else "number")


def _misfit(header: Header, numbers: Numbers) -> str:
    """The first line that does not hold the numbers of one row, "" if there is none."""
    (starts, widths, lines), first = numbers.rows(), 0
    for element in (element for element in header.elements if element.properties):
        rows = slice(first, first + element.count)
        needed = _row_widths(element, numbers.values, starts[rows])
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
            raise _truncated(path, element, room // len(element.properties))
    return file_numbers(path, content, header.start, remedy=WRITE_AGAIN)


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
    properties = element.properties
    if not order:
        properties = [Property(p.name, "f8", p.length_type and "f8") for p in properties]
    sizes = [[np.dtype(t).itemsize // source.itemsize if t else 0 for t in (p.length_type, p.type)] for p in properties]
    present = (len(source) - position) // max(sum(length or item for length, item in sizes), 1)
    if element.count > present:
        raise _truncated(path, element, present)
    sizes = np.array(sizes, np.int64).reshape(-1, 2)
    table = np.empty((len(sizes), 2, min(element.count, 1)), np.int64)
    if table.size and _walk(source, position, sizes, order == ">", 1, table) >= 0:
        lengths = table[:, 1, 0].tolist()
        columns, stop = _even_columns(properties, lengths, source, position, count=element.count, order=order)
        if columns:
            return columns, stop
    stop = _walk(source, position, sizes, order == ">", element.count, table)
    if stop < 0:  # before the table of all rows is allocated
        raise _truncated(path, element, -stop - 1)
    table = np.empty((len(sizes), 2, element.count), np.int64)
    _walk(source, position, sizes, order == ">", element.count, table)
    columns = {}
    for p, (starts, lengths) in zip(properties, table):
        dtype = np.dtype(order + p.type)
        values = np.empty(lengths.sum(), dtype)
        _gather(source, starts, lengths * (dtype.itemsize // source.itemsize), values.view(source.dtype))
        columns[p.name] = (values, lengths) if p.length_type else values
    return columns, stop


def _even_columns(
    properties: list[Property], lengths: list[int], source: np.ndarray, position: int, *, count: int, order: str
) -> tuple[dict, int]:
    """`_read_element` where the lists of all rows have the lengths of the first row, else no columns."""
    fields = []
    for p, length in zip(properties, lengths):
        fields += [(p.name + " length", order + p.length_type)] if p.length_type else []
        fields.append((p.name, order + p.type, (length,) if p.length_type else ()))
    record = np.dtype(fields)
    stop = position + count * record.itemsize // source.itemsize
    rows = source[position:stop].view(record) if stop <= len(source) else np.zeros(0, record)
    columns = {}
    for p, length in zip(properties, lengths):
        columns[p.name] = rows[p.name]
        if p.length_type:
            if len(rows) < count or not (rows[p.name + " length"] == length).all():
                return {}, position
            columns[p.name] = rows[p.name].reshape(-1), np.full(count, length, np.int64)
    return columns, stop


@compiled
def _gather(source, starts, lengths, out):
    """Copies lengths[r] items from starts[r] on, row after row."""
    place = 0
    for row in range(len(starts)):
        for item in range(lengths[row]):
            out[place] = source[starts[row] + item]
            place += 1


@compiled
def _walk(source, position, sizes, big_endian, count, table):
    """Fills in where each property of each row starts and how many items it has.

    Args:
        source: uint8 bytes, or float64 numbers of a text; positions and sizes count them.
        sizes: int64 [properties, 2], of the list length (0: no list) and of one item.
        table: int64 [properties, 2, rows], with fewer rows than `count` the others are only checked.

    Returns:
        The end, or minus (the first row that runs over it or has a list length that is not a count) minus 1.
    """
    for row in range(count):
        for p in range(len(sizes)):
            length, size = np.int64(1), sizes[p, 0]
            if size:
                if position + size > len(source):
                    return -row - 1
                if source.itemsize == 8:
                    length = np.int64(source[position])
                    if length != source[position]:
                        return -row - 1
                else:
                    length = np.int64(0)
                    for byte in range(size):
                        place = byte if big_endian else size - 1 - byte
                        length = (length << 8) | np.int64(source[position + place])
                position += size
            if length < 0 or length > (len(source) - position) // sizes[p, 1]:
                return -row - 1
            if row < table.shape[2]:
                table[p, 0, row], table[p, 1, row] = position, length
            position += length * sizes[p, 1]
    return position
