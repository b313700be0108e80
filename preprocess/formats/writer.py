"""A mesh file as a table of PLY elements: read from any format, given more vertex properties, written as PLY.

Nothing is converted: numbers keep the type that the file declares, so what is only copied comes out bit for bit.
"""

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from preprocess.formats.ply.faces import LIST_NAMES, find_faces
from preprocess.formats.ply.header import Header
from preprocess.formats.ply.ply import read_elements
from preprocess.formats.readers import READERS
from preprocess.mesh.mesh import Mesh, RawMesh
from preprocess.mesh.units import to_file_frame
from trainlib.core.files import atomic_file

KEPT = "input_"
"""Goes before the name of a property that would have the name of a new one."""
_COLORS = ("red", "green", "blue")
_TYPE_NAMES = {"i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint"}
_TYPE_NAMES |= {"f4": "float", "f8": "double"}


@dataclass(frozen=True)
class Column:
    """A property of an element with R rows.

    Attributes:
        type: NumPy type code without byte order.
        values: [R], or of a list all items, row after row.
        lengths: integer [R], items of each row's list, None for a scalar.
        length_type: in which the lengths are written.
    """

    name: str
    type: str
    values: np.ndarray
    lengths: np.ndarray | None = None
    length_type: str | None = None

    @property
    def rows(self) -> int:
        """R."""
        return len(self.values if self.lengths is None else self.lengths)


Elements = dict[str, list[Column]]


def file_elements(path: str | pathlib.Path) -> Elements:
    """All elements and properties of a PLY file; of another format places, colours and polygons.

    Coordinates, colours and polygons are the file's own: its units and axes, its number types, its order. Faces under
    other names and triangle strips come as the list `vertex_indices` of the element `face`. MeshError.
    """
    path = pathlib.Path(path)
    content = path.read_bytes()
    if path.suffix.lower() != ".ply":
        return _raw_elements(READERS[path.suffix.lower()](path, content))
    header, columns, _ = read_elements(path, content)
    elements: Elements = {}
    for element in header.elements:
        found = columns[element.name]
        elements[element.name] = [
            _column(p.name, p.type, *found[p.name], p.length_type)
            if p.length_type
            else _column(p.name, p.type, found[p.name])
            for p in element.properties
        ]
    return _with_standard_faces(path, header, columns, elements)


def _column(
    name: str, type_: str, values: np.ndarray, lengths: np.ndarray | None = None, length_type: str | None = None
) -> Column:
    """A column whose types PLY has: 64-bit integers become the smallest type that holds them, at last double."""
    if type_ not in _TYPE_NAMES:
        with np.errstate(invalid="ignore"):  # what does not fit is not equal
            type_ = next((t for t in ("i4", "u4") if (values.astype(t) == values).all()), "f8")
    return Column(name, type_, values, lengths, "i4" if length_type in ("i8", "u8") else length_type)


def _with_standard_faces(path: pathlib.Path, header: Header, columns: dict[str, dict], elements: Elements) -> Elements:
    """The elements with the polygons in `face.vertex_indices`, where the file has them elsewhere."""
    faces = find_faces(path, header, columns)
    standard = faces.element == "face" and faces.properties[0] in LIST_NAMES
    if not len(faces.counts) or (standard and not faces.strips):
        return elements
    length_type = "u1" if faces.counts.max() < 256 else "i4"
    polygons = Column("vertex_indices", "i4", faces.corners, faces.counts, length_type)
    rest = [] if faces.strips else [c for c in elements[faces.element] if c.name not in faces.properties]
    others = {name: found for name, found in elements.items() if name not in (faces.element, "face", *faces.strips)}
    return {**others, "face": [polygons, *rest]}


def mesh_elements(mesh: Mesh, units: str = "m", up: str = "z") -> Elements:
    """The elements of a mesh in memory, with coordinates in `units` and the axis `up`."""
    counts = np.full(len(mesh.faces), 3)
    return _raw_elements(RawMesh(to_file_frame(mesh.vertices, units, up), mesh.faces.ravel(), counts, mesh.colors))


def triangle_elements(vertices: np.ndarray, faces: np.ndarray, properties: Mapping[str, np.ndarray]) -> Elements:
    """The elements of triangles.

    Args:
        vertices: float32 or float64 [V, 3].
        faces: integer [F, 3].
        properties: name -> [V], further properties of the vertices, in types that PLY has.
    """
    columns = {**dict(zip("xyz", vertices.T)), **properties}
    polygons = Column("vertex_indices", "i4", faces.ravel(), np.full(len(faces), 3), "u1")
    vertex = [Column(name, values.dtype.str[1:], values) for name, values in columns.items()]
    return {"vertex": vertex, "face": [polygons]}


def _raw_elements(raw: RawMesh) -> Elements:
    places = [Column(name, "f8", raw.vertices[:, axis]) for axis, name in enumerate("xyz")]
    colors = []
    if raw.colors is not None:
        type_ = "u1" if raw.colors.dtype == np.uint8 else "f8"
        colors = [Column(name, type_, values) for name, values in color_columns(raw.colors).items()]
    length_type = "u1" if raw.counts.max(initial=0) < 256 else "i4"
    faces = Column("vertex_indices", "i4", raw.corners, raw.counts, length_type)
    return {"vertex": places + colors, "face": [faces]}


def with_vertex_properties(elements: Elements, new: Mapping[str, np.ndarray]) -> Elements:
    """The elements with more vertex properties, after the existing ones.

    Args:
        new: name -> [V], in a type that PLY has. A property that has one of these names stays in its place as
            input_NAME, and so does `alpha` where the colours are new.
    """
    taken = {*new, *(["alpha"] if "red" in new else [])}
    used = {column.name for column in elements["vertex"]} | taken
    kept = []
    for column in elements["vertex"]:
        name = column.name
        if name in taken:
            while name in used:
                name = KEPT + name
            used.add(name)
        kept.append(replace(column, name=name))
    added = [Column(name, values.dtype.str[1:], values) for name, values in new.items()]
    return {**elements, "vertex": kept + added}


def only_places(elements: Elements) -> Elements:
    """Coordinates and polygons alone."""
    vertex = [column for column in elements["vertex"] if column.name.lower() in ("x", "y", "z")]
    faces = [column for column in elements["face"] if column.lengths is not None and column.name in LIST_NAMES]
    return {"vertex": vertex, "face": faces}


def color_columns(colors: np.ndarray) -> dict[str, np.ndarray]:
    """The channels of colours [V, 3] by the names of their properties."""
    return dict(zip(_COLORS, colors.T))


def write_labels_ply(
    path: str | pathlib.Path,
    vertices: np.ndarray,
    faces: np.ndarray,
    ids: np.ndarray,
    colors: np.ndarray | None = None,
) -> None:
    """Writes a mesh with labels (binary little-endian PLY), atomically.

    Args:
        vertices: float32 or float64 [V, 3].
        faces: integer [F, 3].
        ids: integer [V], 0 to 65535, written as uint16 property `label`.
        colors: uint8 [V, 3].
    """
    vertices, faces, ids = np.asarray(vertices), np.asarray(faces), np.asarray(ids)
    if ids.shape != (len(vertices),):
        raise ValueError(f"{list(ids.shape)} labels for {len(vertices)} vertices")
    if len(ids) and (ids.min() < 0 or ids.max() > 65535):
        raise ValueError(f"labels must be between 0 and 65535, these reach from {ids.min()} to {ids.max()}")
    properties = {**({} if colors is None else color_columns(colors)), "label": ids.astype(np.uint16)}
    write_elements(path, triangle_elements(vertices, faces, properties))


def write_elements(path: str | pathlib.Path, elements: Elements, comments: Sequence[str] = ()) -> None:
    """Writes a binary little-endian PLY, atomically. ValueError: columns of one element differ in their rows."""
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {comment}" for comment in comments)]
    for name, columns in elements.items():
        rows = {column.rows for column in columns}
        if len(rows) > 1:
            counts = ", ".join(f"{column.name} {column.rows}" for column in columns)
            raise ValueError(f"the properties of {name!r} differ in their rows: {counts}")
        lines.append(f"element {name} {rows.pop() if rows else 0}")
        for c in columns:
            list_of = "" if c.lengths is None else f"list {_TYPE_NAMES[c.length_type]} "
            lines.append(f"property {list_of}{_TYPE_NAMES[c.type]} {c.name}")
    with atomic_file(pathlib.Path(path)) as file:
        file.write("\n".join([*lines, "end_header", ""]).encode("latin-1"))
        for columns in elements.values():
            file.write(_even_rows(columns) if _is_even(columns) else _uneven_rows(columns))


def _is_even(columns: list[Column]) -> bool:
    """Whether all rows have the same size."""
    return all(c.lengths is None or not len(c.lengths) or (c.lengths == c.lengths[0]).all() for c in columns)


def _even_rows(columns: list[Column]) -> bytes:
    fields, values = [], []
    for number, c in enumerate(columns):
        if c.lengths is None:
            fields.append((f"{number}", "<" + c.type))
            values.append(c.values)
            continue
        length = int(c.lengths[0]) if len(c.lengths) else 0
        fields += [(f"{number} length", "<" + c.length_type), (f"{number}", "<" + c.type, (length,))]
        values += [c.lengths, c.values.reshape(len(c.lengths), length)]
    table = np.empty(columns[0].rows if columns else 0, fields)
    for (name, *_), column in zip(fields, values):
        table[name] = column
    return table.tobytes()


def _uneven_rows(columns: list[Column]) -> bytes:
    """Rows whose lists have different lengths: every column is scattered to its bytes."""
    rows = columns[0].rows
    sizes = np.zeros(rows, np.int64)
    parts = []  # values, item size, where each row's part begins inside the row, items of each row
    for c in columns:
        if c.lengths is not None:
            parts.append((c.lengths.astype("<" + c.length_type), sizes.copy(), np.ones(rows, np.int64)))
            sizes += np.dtype(c.length_type).itemsize
        lengths = np.ones(rows, np.int64) if c.lengths is None else c.lengths
        parts.append((c.values.astype("<" + c.type), sizes.copy(), lengths))
        sizes += lengths * np.dtype(c.type).itemsize
    starts = np.cumsum(sizes) - sizes
    out = np.zeros(int(sizes.sum()), np.uint8)
    for values, offset, lengths in parts:
        before = np.repeat(np.cumsum(lengths) - lengths, lengths)
        item = np.repeat(starts + offset, lengths) + (np.arange(len(values)) - before) * values.itemsize
        out[item[:, None] + np.arange(values.itemsize)] = values.view(np.uint8).reshape(-1, values.itemsize)
    return out.tobytes()
