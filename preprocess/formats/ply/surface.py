"""The polygons of a PLY file, in lists of any name, three columns or triangle strips, and their colours."""

import pathlib
from typing import NamedTuple

import numpy as np

from preprocess.formats.colors import as_bytes, corner_means, is_filler
from preprocess.formats.ply.header import WRITE_AGAIN, Element, Header
from preprocess.formats.textures import find_beside, read_texture, sampled
from preprocess.mesh.mesh import MeshError
from trainlib.core.text import pluralize

LIST_NAMES = ("vertex_indices", "vertex_index")
_ELEMENTS = ("face", "faces", "polygon", "polygons", "triangle", "triangles", "facet", "facets")
_STRIPS = ("tristrips", "tristrip", "triangle_strips", "strips")
_COLUMNS = (("v0", "v1", "v2"), ("v1", "v2", "v3"), ("a", "b", "c"), ("i", "j", "k"), ("i0", "i1", "i2"))
_COLUMNS += (("vertex0", "vertex1", "vertex2"), ("vertex1", "vertex2", "vertex3"), ("p0", "p1", "p2"))
_NOT_CORNERS = ("tex", "uv", "edge", "color", "normal")
"""Beginnings of the names of lists that are not corners."""
_SPLAT = ("opacity", "scale_0", "rot_0")
_SHOWN = 6
_NAMES = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_PLACES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"), ("tex_u", "tex_v"))
_CORNER_PLACES = ("texcoord", "texcoords", "texture_uv", "tex_coord")
_NUMBERS = ("texnumber", "texture_number", "texid", "tex_id")


class Faces(NamedTuple):
    """Polygons, and where they are in the file.

    Attributes:
        corners: [sum(counts)] in the file's own number type.
        counts: int64 [F].
        element, columns: name and properties of the element whose rows are the first polygons, "" and {} if there is
            none. A property is [rows], or of a list (flat values, lengths int64 [rows]).
        properties: names of those that hold its corners.
        strips: names of the elements that hold strips.
        notes: notes for the report.
        instead: what the file holds if it has no faces.
    """

    corners: np.ndarray
    counts: np.ndarray
    element: str
    columns: dict
    properties: tuple[str, ...]
    strips: tuple[str, ...]
    notes: tuple[str, ...]
    instead: str


def is_face_element(element: Element) -> bool:
    """Whether an element may hold faces or strips, by its name or the name of a list."""
    lists = {p.name.lower() for p in element.properties if p.length_type}
    return element.name.lower() in (*_ELEMENTS, *_STRIPS) or not lists.isdisjoint(LIST_NAMES)


def find_faces(path: pathlib.Path, header: Header, columns: dict[str, dict]) -> Faces:
    """The polygons of all elements that hold any.

    Args:
        columns: {element: {property: values [rows], or (flat values, lengths int64 [rows]) of a list}}.

    Raises:
        MeshError: an element of faces has no list that is clearly its corners.
    """
    empty = np.zeros(0, np.int64)
    parts, notes, where, properties = [], [], "", ()
    element = _face_element(header)
    if element is not None:
        where, properties = element.name, _corner_properties(path, element)
        if len(properties) == 1:
            parts.append(columns[where][properties[0]])
        else:
            table = np.stack([columns[where][name] for name in properties], axis=1)
            parts.append((table.reshape(-1), np.full(len(table), table.shape[1])))
        if where != "face" or properties[0] not in LIST_NAMES:
            notes.append(f"faces read from {', '.join(f'`{p}`' for p in properties)} of the element `{where}`")
    strips = [e for e in header.elements if e.name.lower() in _STRIPS and e.count and _integer_lists(e)]
    for strip in strips:
        name = _corner_properties(path, strip)[0]
        type_ = next(p.type for p in strip.properties if p.name == name)
        corners, found = _strip_triangles(*columns[strip.name][name], type_)
        notes.append(f"{pluralize(found, 'triangle strip')} read as {pluralize(len(corners) // 3, 'triangle')}")
        parts.append((corners, np.full(len(corners) // 3, 3, np.int64)))
    corners, counts = parts[0] if parts else (empty, empty)
    if len(parts) > 1:
        corners, counts = (np.concatenate(arrays) for arrays in zip(*parts))
    instead = "" if len(counts) else _contents(header)
    names = tuple(strip.name for strip in strips)
    return Faces(corners, counts, where, columns.get(where, {}), properties, names, tuple(notes), instead)


def _face_element(header: Header) -> Element | None:
    """The element with rows whose name or list shows that it holds faces."""
    by_name = {element.name.lower(): element for element in reversed(header.elements) if element.count}
    named = next((by_name[name] for name in _ELEMENTS if name in by_name), None)
    other = (e for e in header.elements if e.count and is_face_element(e) and e.name.lower() not in _STRIPS)
    return named or next(other, None)


def _corner_properties(path: pathlib.Path, element: Element) -> tuple[str, ...]:
    """The list of corners, or the three or four columns of them."""
    by_name = {p.name.lower(): p.name for p in element.properties if p.length_type}
    known = next((by_name[name] for name in LIST_NAMES if name in by_name), None)
    lists = [name for name in _integer_lists(element) if not name.lower().startswith(_NOT_CORNERS)]
    if known is not None or len(lists) == 1:
        return (known or lists[0],)
    scalars = {p.name.lower(): p.name for p in element.properties if not p.length_type and p.type[0] in "iu"}
    for names in _COLUMNS:
        if not lists and all(name in scalars for name in names):
            fourth = ("v3",) if names[0] == "v0" and "v3" in scalars else ()
            return tuple(scalars[name] for name in names + fourth)
    listed = ", ".join(f"`{p.name}`" for p in element.properties[:_SHOWN]) or "none"
    why = "no list of vertex indices" if not lists else f"{len(lists)} lists that may be vertex indices"
    cause = f"the element `{element.name}` has {why}; its properties: {listed}"
    raise MeshError(path, cause, f"Call the list vertex_indices. {WRITE_AGAIN}")


def _integer_lists(element: Element) -> list[str]:
    return [p.name for p in element.properties if p.length_type and p.type[0] in "iu"]


def _strip_triangles(values: np.ndarray, lengths: np.ndarray, type_: str) -> tuple[np.ndarray, int]:
    """The triangles of strips and how many strips there are.

    Every second triangle of a strip is turned; -1 (in an unsigned type its largest value) begins a new strip, and so
    does every row. Triangles that name a vertex twice only lead from one strip to the next and are dropped. `values`
    are the corners of all rows; those of the triangles [3 T] have their type.
    """
    restart = np.iinfo(type_).max if type_[0] == "u" else -1
    breaks = values == restart
    begins = np.zeros(len(values) + 1, bool)
    begins[np.concatenate([[0], np.cumsum(lengths)])] = True
    begins[1:] |= breaks
    begins = begins[:-1] & ~breaks
    strip = np.cumsum(begins)
    place = np.arange(len(values)) - np.maximum.accumulate(np.where(begins, np.arange(len(values)), 0))
    inside = (strip[2:] == strip[:-2]) & ~breaks[2:] & ~breaks[1:-1] & ~breaks[:-2]
    whole = np.flatnonzero(inside)
    odd = place[whole] % 2
    triangles = values[np.stack([whole, whole + 1 + odd, whole + 2 - odd], axis=1)]
    proper = (triangles != triangles[:, [1, 2, 0]]).all(axis=1)
    return triangles[proper].reshape(-1), int(begins.sum())


def _contents(header: Header) -> str:
    """What a file without faces holds."""
    vertex = next((e for e in header.elements if e.name == "vertex"), None)
    if vertex is not None and {p.name.lower() for p in vertex.properties}.issuperset(_SPLAT):
        return f"it is a Gaussian splat of {pluralize(vertex.count, 'point')}"
    others = [e for e in header.elements if e.name != "vertex" and e.count]
    if not others:
        return f"it is a point cloud of {pluralize(vertex.count, 'point')}" if vertex else ""
    rows = []
    for e in others[:_SHOWN]:
        listed = ", ".join(p.name for p in e.properties[:_SHOWN]) + (", ..." if e.properties[_SHOWN:] else "")
        rows.append(f"{pluralize(e.count, 'row')} of `{e.name}` ({listed})")
    return f"it holds {pluralize(vertex.count if vertex else 0, 'vertex')} and {', '.join(rows)}"


def stored_colors(path: pathlib.Path, header: Header, element: str, found: dict) -> np.ndarray | None:
    """The three colour properties of an element [rows, 3] in the type that the header declares, or None.

    Args:
        found: {property: values [rows], float64 in ASCII files, or a tuple for a list}.

    Raises:
        MeshError: numbers that the declared type cannot hold.
    """
    spelled = {name.lower(): name for name, values in reversed(found.items()) if not isinstance(values, tuple)}
    names = next((names for names in _NAMES if all(name in spelled for name in names)), None)
    if names is None:
        return None
    declared = {p.name: p.type for e in header.elements if e.name == element for p in e.properties}
    columns = []
    for name in map(spelled.get, names):
        values, dtype = found[name], np.dtype(declared[name])
        with np.errstate(invalid="ignore", over="ignore"):
            columns.append(values.astype(dtype))
        fits = columns[-1] == values
        if dtype.kind in "iu" and not fits.all():
            row = int(np.argmin(fits))
            cause = f"the property `{name}` is declared {dtype.name}, but {element} {row} has {values[row]:g}"
            raise MeshError(path, cause, "Declare it with the type of its numbers.")
    return np.stack(columns, axis=1)


def painted_colors(
    path: pathlib.Path, header: Header, vertex: dict, faces: Faces, *, own: np.ndarray | None, notes: list[str]
) -> np.ndarray | None:
    """Colours uint8 [V, 3] of textures or faces; `own` if there are none.

    Args:
        path: the PLY file; its pictures are next to it.
        vertex: {property in small letters: [V]}.
        own: colours [V, 3] of the vertices, all the same, or None.
        notes: what was found is added.
    """
    colors = _texture_colors(path.parent, header, vertex, faces, notes)
    if colors is None and (own is None or is_filler(own, grey=True)):
        stored = stored_colors(path, header, faces.element, faces.columns)
        of_faces = None if stored is None else as_bytes(stored, notes)
        if of_faces is not None and len(of_faces) and not (own is not None and is_filler(of_faces)):
            counts = faces.counts[: len(of_faces)]
            notes.append(f"colours of {pluralize(len(of_faces), 'face')} averaged at the vertices")
            of_corners = np.repeat(of_faces, counts, axis=0)
            colors, _ = corner_means(faces.corners[: len(of_corners)], of_corners, len(vertex["x"]))
    if colors is not None and own is not None:
        notes.append("all vertices have one colour, which is not used")
    return own if colors is None else colors


def _texture_colors(
    folder: pathlib.Path, header: Header, vertex: dict[str, np.ndarray], faces: Faces, notes: list[str]
) -> np.ndarray | None:
    """Colours uint8 [V, 3] of the textures: at the corners where faces have places in them, else at the vertices."""
    images = {}
    for index, name in enumerate(header.textures):
        path = find_beside(folder, name)
        image, reason = (None, "it is not next to the mesh") if path is None else read_texture(path)
        if image is None:
            notes.append(f"warning: a texture cannot be read, {name}: {reason}")
        else:
            images[index] = image
    if not images:
        return None
    columns = {name.lower(): values for name, values in reversed(faces.columns.items())}
    places = next((columns[name] for name in _CORNER_PLACES if name in columns), None)
    if isinstance(places, tuple):
        values, lengths = places
        counts = faces.counts[: len(lengths)]
        has_places = lengths == 2 * counts
        corners = faces.corners[: counts.sum()][np.repeat(has_places, counts)]
        uv = values[np.repeat(has_places, lengths)].reshape(-1, 2)
        number = np.repeat(_texture_numbers(columns, len(counts))[has_places], counts[has_places])
    else:
        names = next((names for names in _PLACES if all(name in vertex for name in names)), None)
        if names is None:
            notes.append(f"warning: no texture coordinates for the texture {header.textures[0]}")
            return None
        uv = np.stack([vertex[name] for name in names], axis=1)
        corners, number = np.arange(len(uv)), _texture_numbers(vertex, len(uv))
    colors = np.zeros((len(uv), 3), np.uint8)
    for index, image in images.items():
        mine = number == index
        colors[mine] = sampled(image, np.stack([uv[mine, 0], 1 - uv[mine, 1]], axis=1))
    known = np.isin(number, list(images))
    notes.append(f"colours from {pluralize(len(images), 'texture')} of the PLY")
    return corner_means(corners[known], colors[known], len(vertex["x"]))[0]


def _texture_numbers(columns: dict, rows: int) -> np.ndarray:
    """The texture of each row, [rows]; the first if no column names one."""
    found = next((columns[name] for name in _NUMBERS if name in columns), None)
    return np.zeros(rows) if found is None or isinstance(found, tuple) else found
