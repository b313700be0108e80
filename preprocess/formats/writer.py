"""A mesh file as a table of PLY elements: read from any format, given more vertex properties, written as PLY.

Nothing is converted: numbers keep the type that the file declares, so what is only copied comes out bit for bit.
"""

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from preprocess.formats.ply.ply import read_elements
from preprocess.formats.ply.surface import LIST_NAMES, find_faces
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
        elements[element.name] = []
        for p in element.properties:
            found = columns[element.name][p.name]
            values, lengths = found if p.length_type else (found, None)
            length_type = "i4" if p.length_type in ("i8", "u8") else p.length_type
            elements[element.name].append(Column(p.name, _ply_type(p.type, values), values, lengths, length_type))
    faces = find_faces(path, header, columns)
    standard = faces.element == "face" and faces.properties[0] in LIST_NAMES
    if not len(faces.counts) or (standard and not faces.strips):
        return elements
    rest = [] if faces.strips else [c for c in elements[faces.element] if c.name not in faces.properties]
    others = {name: found for name, found in elements.items() if name not in (faces.element, "face", *faces.strips)}
    return {**others, "face": [_polygons(faces.corners, faces.counts), *rest]}


def _ply_type(type_: str, values: np.ndarray) -> str:
    """The type itself if PLY has it: 64-bit integers become the smallest type that holds them, at last double."""
    if type_ in _TYPE_NAMES:
        return type_
    with np.errstate(invalid="ignore"):  # what does not fit is not equal
        return next((t for t in ("i4", "u4") if (values.astype(t) == values).all()), "f8")


def _polygons(corners: np.ndarray, counts: np.ndarray) -> Column:
    return Column("vertex_indices", "i4", corners, counts, "u1" if counts.max(initial=0) < 256 else "i4")


def _raw_elements(raw: RawMesh) -> Elements:
    colors = raw.colors if raw.colors is None or raw.colors.dtype == np.uint8 else raw.colors.astype(np.float64)
    columns = {**dict(zip("xyz", raw.vertices.T)), **({} if colors is None else color_columns(colors))}
    return {"vertex": _scalars(columns), "face": [_polygons(raw.corners, raw.counts)]}


def _scalars(columns: Mapping[str, np.ndarray]) -> list[Column]:
    return [Column(name, values.dtype.str[1:], values) for name, values in columns.items()]


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
    polygons = _polygons(faces.ravel(), np.full(len(faces), 3))
    return {"vertex": _scalars({**dict(zip("xyz", vertices.T)), **properties}), "face": [polygons]}


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
    return {**elements, "vertex": kept + _scalars(new)}


def only_places(elements: Elements) -> Elements:
    """Coordinates and polygons alone."""
    vertex = [column for column in elements["vertex"] if column.name.lower() in ("x", "y", "z")]
    faces = [column for column in elements["face"] if column.lengths is not None and column.name in LIST_NAMES]
    return {"vertex": vertex, "face": faces}


def color_columns(colors: np.ndarray) -> dict[str, np.ndarray]:
    """The channels of colours [V, 3] by the names of their properties."""
    return dict(zip(_COLORS, colors.T))


def write_labels_ply(
    path: str | pathlib.Path, vertices: np.ndarray, faces: np.ndarray, ids: np.ndarray, colors: np.ndarray | None = None
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
            file.write(_row_bytes(columns))


def _row_bytes(columns: list[Column]) -> bytes:
    """The rows of an element, one after the other, in which each list follows its length."""
    rows = columns[0].rows if columns else 0
    one, parts = np.broadcast_to(np.int64(1), rows), []  # values, items of each row
    for c in columns:
        if c.lengths is not None:
            parts.append((c.lengths.astype("<" + c.length_type), one))
        parts.append((c.values.astype("<" + c.type, copy=False), one if c.lengths is None else c.lengths))
    if all((lengths == lengths[:1]).all() for _, lengths in parts):  # all rows have the same size
        widths = [() if lengths is one else (int(lengths[0]) if rows else 0,) for _, lengths in parts]
        table = np.empty(rows, [(f"{k}", values.dtype, widths[k]) for k, (values, _) in enumerate(parts)])
        for k, (values, _) in enumerate(parts):
            table[f"{k}"] = values.reshape(rows, *widths[k])
        return table.tobytes()
    sizes = sum(lengths * values.itemsize for values, lengths in parts)
    offset = np.cumsum(sizes) - sizes  # where this part of each row begins
    out = np.zeros(int(sizes.sum()), np.uint8)
    for values, lengths in parts:
        before = np.repeat(np.cumsum(lengths) - lengths, lengths)
        item = np.repeat(offset, lengths) + (np.arange(len(values)) - before) * values.itemsize
        content = np.ascontiguousarray(values).view(np.uint8).reshape(-1, values.itemsize)
        out[item[:, None] + np.arange(values.itemsize)] = content
        offset = offset + lengths * values.itemsize
    return out.tobytes()
