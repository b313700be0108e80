"""The colours of a PLY file: of the vertices, of a texture as MeshLab writes it, of the faces."""

import pathlib
from typing import NamedTuple

import numpy as np

from preprocess.formats.colors import as_bytes, corner_means, is_filler, is_grey_filler
from preprocess.formats.companions import find_beside, spellings
from preprocess.formats.ply.header import Header
from preprocess.formats.textures import read_texture, sampled
from preprocess.mesh.mesh import MeshError
from trainlib.core.text import pluralize

_NAMES = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_PLACES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"), ("tex_u", "tex_v"))
_CORNER_PLACES = ("texcoord", "texcoords", "texture_uv", "tex_coord")
_NUMBERS = ("texnumber", "texture_number", "texid", "tex_id")


class Surface(NamedTuple):
    """The polygons of a file.

    Attributes:
        corners: int64 [sum(counts)].
        counts: int64 [F].
        element, columns: name and properties of the element whose rows are the first polygons, "" and {} if there is
            none. A property is [rows], a list (flat values, lengths int64 [rows]).
    """

    corners: np.ndarray
    counts: np.ndarray
    element: str
    columns: dict


def stored_colors(path: pathlib.Path, header: Header, element: str, found: dict) -> np.ndarray | None:
    """The three colour properties of an element [rows, 3] in the type that the header declares, or None.

    Args:
        found: {property: values [rows], float64 in ASCII files, or a tuple for a list}.

    Raises:
        MeshError: numbers that the declared type cannot hold.
    """
    names = _color_names(found)
    if names is None:
        return None
    declared = {p.name: p.type for e in header.elements if e.name == element for p in e.properties}
    columns = []
    for name in names:
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
    path: pathlib.Path,
    header: Header,
    vertex: dict[str, np.ndarray],
    surface: Surface,
    own: np.ndarray | None,
    notes: list[str],
) -> np.ndarray | None:
    """Colours uint8 [V, 3] of textures or faces; `own` if there are none.

    Args:
        path: the PLY file; its pictures are next to it.
        vertex: {property in small letters: [V]}.
        own: colours [V, 3] of the vertices, all the same, or None.
        notes: what was found is added.
    """
    columns = {name.lower(): values for name, values in reversed(surface.columns.items())}
    colors = _texture_colors(path.parent, header, vertex, surface._replace(columns=columns), notes)
    if colors is None and (own is None or is_grey_filler(own)):
        of_faces = stored_colors(path, header, surface.element, surface.columns)
        colors = None if of_faces is None else _face_colors(len(vertex["x"]), surface, of_faces, own, notes)
    if colors is None:
        return own
    if own is not None:
        notes.append("all vertices have one colour, which is not used")
    return colors


def _color_names(columns: dict) -> tuple[str, str, str] | None:
    """The names of red, green and blue as the file spells them."""
    spelled = {name.lower(): name for name, values in reversed(columns.items()) if not isinstance(values, tuple)}
    found = next((names for names in _NAMES if all(name in spelled for name in names)), None)
    return None if found is None else tuple(spelled[name] for name in found)


def _texture_colors(
    folder: pathlib.Path, header: Header, vertex: dict[str, np.ndarray], surface: Surface, notes: list[str]
) -> np.ndarray | None:
    """Colours uint8 [V, 3] of the textures: at the corners where faces have places in them, else at the vertices."""
    images = _images(folder, header.textures, notes)
    if not any(image is not None for image in images):
        return None
    count = len(vertex["x"])
    places = next((surface.columns[name] for name in _CORNER_PLACES if name in surface.columns), None)
    if isinstance(places, tuple):
        rows = len(places[1])
        has_places = places[1] == 2 * surface.counts[:rows]
        corners = surface.corners[: surface.counts[:rows].sum()][np.repeat(has_places, surface.counts[:rows])]
        uv = places[0][np.repeat(has_places, places[1])].reshape(-1, 2)
        number = np.repeat(_texture_numbers(surface.columns, rows)[has_places], surface.counts[:rows][has_places])
    else:
        names = next((names for names in _PLACES if all(name in vertex for name in names)), None)
        if names is None:
            notes.append(f"warning: no texture coordinates for the texture {header.textures[0]}")
            return None
        uv = np.stack([vertex[name] for name in names], axis=1)
        corners, number = np.arange(count), _texture_numbers(vertex, count)
    colors, known = np.zeros((len(uv), 3), np.uint8), np.zeros(len(uv), bool)
    for index, image in enumerate(images):
        if image is not None:
            mine = number == index
            colors[mine] = sampled(image, np.stack([uv[mine, 0], 1 - uv[mine, 1]], axis=1))
            known |= mine
    notes.append(f"colours from {pluralize(sum(image is not None for image in images), 'texture')} of the PLY")
    return corner_means(corners[known], colors[known], count)[0]


def _texture_numbers(columns: dict, rows: int) -> np.ndarray:
    """The texture of each row, [rows]; the first if no column names one."""
    found = next((columns[name] for name in _NUMBERS if name in columns), None)
    return np.zeros(rows) if found is None or isinstance(found, tuple) else found


def _images(folder: pathlib.Path, names: list[str], notes: list[str]) -> list[np.ndarray | None]:
    """The pictures uint8 [H, W, 3], None for one that is missing."""
    images = []
    for name in names:
        path = next((found for text in spellings(name) if (found := find_beside(folder, text)) is not None), None)
        image, reason = (None, "it is not next to the mesh") if path is None else read_texture(path)
        if image is None:
            notes.append(f"warning: a texture cannot be read, {name}: {reason}")
        images.append(image)
    return images


def _face_colors(
    count: int, surface: Surface, stored: np.ndarray, own: np.ndarray | None, notes: list[str]
) -> np.ndarray | None:
    """The mean colour of the faces at each vertex, uint8 [V, 3].

    Args:
        stored: [rows, 3] of any number type.
        own: colours of the vertices; where there are some, None if the faces too have one for all.
    """
    colors = as_bytes(stored)
    if colors is None:
        notes.append("warning: the colours of the faces are not all 0 to 1, 0 to 255 or 16 bit, and are ignored")
        return None
    if not len(colors) or (own is not None and is_filler(colors)):
        return None
    counts = surface.counts[: len(colors)]
    notes.append(f"colours of {pluralize(len(colors), 'face')} averaged at the vertices")
    return corner_means(surface.corners[: counts.sum()], np.repeat(colors, counts, axis=0), count)[0]
