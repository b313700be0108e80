"""The polygons of a PLY file: lists of any name, three columns, and triangle strips."""

import pathlib
from typing import NamedTuple

import numpy as np

from preprocess.formats.ply.header import WRITE_AGAIN, Element, Header
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


class Faces(NamedTuple):
    """Polygons, and where they are in the file.

    Attributes:
        corners: [sum(counts)] in the file's own number type.
        counts: int64 [F].
        element: name of the element whose rows are the first polygons, "" if there is none.
        properties: those that hold its corners.
        strips: names of the elements that hold strips.
        notes: notes for the report.
        instead: what the file holds if it has no faces.
    """

    corners: np.ndarray
    counts: np.ndarray
    element: str
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
    parts, notes = [], []
    element = _face_element(header)
    properties: tuple[str, ...] = ()
    if element is not None:
        properties = _corner_properties(path, element)
        parts.append(_polygons(columns[element.name], properties))
        if element.name != "face" or properties[0] not in LIST_NAMES:
            notes.append(f"faces read from {', '.join(f'`{p}`' for p in properties)} of the element `{element.name}`")
    strips = [e for e in header.elements if e.name.lower() in _STRIPS and e.count and _has_integer_list(e)]
    for strip in strips:
        name = _corner_properties(path, strip)[0]
        type_ = next(p.type for p in strip.properties if p.name == name)
        corners, found = _strip_triangles(*columns[strip.name][name], type_)
        notes.append(f"{pluralize(found, 'triangle strip')} read as {pluralize(len(corners) // 3, 'triangle')}")
        parts.append((corners, np.full(len(corners) // 3, 3, np.int64)))
    corners, counts = parts[0] if parts else (np.zeros(0, np.int64), np.zeros(0, np.int64))
    if len(parts) > 1:
        corners, counts = (np.concatenate(column) for column in zip(*parts))
    where = "" if element is None else element.name
    instead = "" if len(counts) else _contents(header)
    return Faces(corners, counts, where, properties, tuple(s.name for s in strips), tuple(notes), instead)


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
    if known is not None:
        return (known,)
    lists = [p.name for p in element.properties if p.length_type and p.type[0] in "iu"]
    lists = [name for name in lists if not name.lower().startswith(_NOT_CORNERS)]
    if len(lists) == 1:
        return (lists[0],)
    scalars = {p.name.lower(): p.name for p in element.properties if not p.length_type and p.type[0] in "iu"}
    for names in _COLUMNS:
        if not lists and all(name in scalars for name in names):
            fourth = ("v3",) if names[0] == "v0" and "v3" in scalars else ()
            return tuple(scalars[name] for name in names + fourth)
    listed = ", ".join(f"`{p.name}`" for p in element.properties[:_SHOWN]) or "none"
    why = "no list of vertex indices" if not lists else f"{len(lists)} lists that may be vertex indices"
    cause = f"the element `{element.name}` has {why}; its properties: {listed}"
    raise MeshError(path, cause, f"Call the list vertex_indices. {WRITE_AGAIN}")


def _has_integer_list(element: Element) -> bool:
    return any(p.length_type and p.type[0] in "iu" for p in element.properties)


def _polygons(columns: dict, properties: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Corners in their own type and counts int64."""
    if len(properties) == 1:
        values, lengths = columns[properties[0]]
        return values, lengths
    table = np.stack([columns[name] for name in properties], axis=1)
    return table.reshape(-1), np.full(len(table), len(properties), np.int64)


def _strip_triangles(values: np.ndarray, lengths: np.ndarray, type_: str) -> tuple[np.ndarray, int]:
    """The triangles of strips and how many strips there are.

    Every second triangle of a strip is turned; -1 (in an unsigned type its largest value) begins a new strip, and so
    does every row. Triangles that name a vertex twice only lead from one strip to the next and are dropped.

    Args:
        values: the corners of all rows.
        lengths: int64 [rows].

    Returns:
        corners [3 T] in the type of the values.
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
    names = {p.name.lower() for p in vertex.properties} if vertex else set()
    if names.issuperset(_SPLAT):
        return f"it is a Gaussian splat of {pluralize(vertex.count, 'point')}"
    others = [e for e in header.elements if e.name != "vertex" and e.count]
    if not others:
        return f"it is a point cloud of {pluralize(vertex.count, 'point')}" if vertex else ""
    rows = ", ".join(f"{pluralize(e.count, 'row')} of `{e.name}` ({_listed(e)})" for e in others[:_SHOWN])
    return f"it holds {pluralize(vertex.count if vertex else 0, 'vertex')} and {rows}"


def _listed(element: Element) -> str:
    """The names of its properties."""
    more = ", ..." if element.properties[_SHOWN:] else ""
    return ", ".join(p.name for p in element.properties[:_SHOWN]) + more
