"""The colours of a PLY file: of the vertices, of a texture as MeshLab writes it, of the faces."""

import pathlib

import numpy as np

from preprocess.formats.colors import as_bytes, corner_means, is_filler, is_grey_filler
from preprocess.formats.ply.faces import Faces
from preprocess.formats.ply.header import Header
from preprocess.formats.textures import find_beside, read_texture, sampled
from preprocess.mesh.mesh import MeshError
from trainlib.core.text import pluralize

_NAMES = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_PLACES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"), ("tex_u", "tex_v"))
_CORNER_PLACES = ("texcoord", "texcoords", "texture_uv", "tex_coord")
_NUMBERS = ("texnumber", "texture_number", "texid", "tex_id")


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
    if colors is None and (own is None or is_grey_filler(own)):
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
