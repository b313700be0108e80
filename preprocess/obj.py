"""Wavefront OBJ: vertices, polygons and, where the vertices have none, the colours of materials and textures."""

import pathlib
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from preprocess.formats import index_array, number_table
from preprocess.mesh import MeshError, RawMesh, counted

_EXPORT_AGAIN = "Export it again, or convert it to PLY."
_GREY = 128


@dataclass
class _Lines:
    """The words of the lines that are read. face_seen: `v` lines before each face; face_material: row in materials."""

    vertices: list = field(default_factory=list)
    textures: list = field(default_factory=list)
    faces: list = field(default_factory=list)
    face_seen: list = field(default_factory=list)
    face_texture_seen: list = field(default_factory=list)
    face_material: list = field(default_factory=list)
    materials: list = field(default_factory=lambda: [""])
    libraries: list = field(default_factory=list)


def read_obj(path: pathlib.Path, content: bytes) -> RawMesh:
    """`v x y z [r g b]` and `f` lines, in the order of the `v` lines, isolated ones too.

    Negative indices count back from the latest vertex. Vertices without numbers for a colour have the mean over their
    corners of what the texture (`map_Kd`) or else the material (`Kd`) has there, and grey where neither has any.
    Raises MeshError.
    """
    lines = _sorted_lines(content)
    widths = {len(words) for words in lines.vertices}
    if not widths <= {3, 4, 6, 7} or len(widths) > 1:
        raise MeshError(path, f"`v` lines with {sorted(widths)} numbers", _EXPORT_AGAIN)
    counts = np.array([len(words) for words in lines.faces], np.int64)
    try:
        table = number_table(lines.vertices)
        corners = _corners(lines, 0, counts, lines.face_seen)
        colors, notes = (table[:, -3:], []) if widths & {6, 7} else _material_colors(path, lines, corners, counts)
    except ValueError as error:
        raise MeshError(path, f"a line that is no list of numbers ({error})", _EXPORT_AGAIN) from None
    return RawMesh(table[:, :3].copy(), corners, counts, colors, notes=notes, first=1)


def _sorted_lines(content: bytes) -> _Lines:
    lines, material = _Lines(), 0
    for line in content.replace(b"\\\n", b" ").replace(b"\\\r\n", b" ").splitlines():
        keyword, _, rest = line.strip().partition(b" ")
        if keyword == b"v":
            lines.vertices.append(rest.split())
        elif keyword == b"vt":
            lines.textures.append(rest.split()[:2])
        elif keyword == b"f":
            lines.faces.append(rest.split())
            lines.face_seen.append(len(lines.vertices))
            lines.face_texture_seen.append(len(lines.textures))
            lines.face_material.append(material)
        elif keyword == b"usemtl":
            name = rest.strip().decode("utf-8", "replace")
            if name not in lines.materials:
                lines.materials.append(name)
            material = lines.materials.index(name)
        elif keyword == b"mtllib":
            lines.libraries.append(rest.strip().decode("utf-8", "replace"))
    return lines


def _corners(lines: _Lines, part: int, counts: np.ndarray, seen: list[int]) -> np.ndarray:
    """Indices from 0, int64 [sum(counts)], of part 0 (vertex) or 1 (texture) of each corner; -1 where none is."""
    words = (word.split(b"/") for face in lines.faces for word in face)
    given = index_array(word[part] or b"0" if len(word) > part else b"0" for word in words)
    return np.where(given > 0, given - 1, np.where(given < 0, np.repeat(np.array(seen, np.int64), counts) + given, -1))


def _material_colors(
    path: pathlib.Path, lines: _Lines, corners: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray | None, list[str]]:
    """Colours uint8 [V, 3] of materials and textures, None if all are grey or missing, and notes on what is missing."""
    plain, images, notes = _materials(path, lines)
    if not images and all(len(set(color)) == 1 for color in plain.values()):
        return None, notes
    sums, hits = np.zeros((len(lines.vertices), 3)), np.zeros(len(lines.vertices))
    material = np.repeat(np.array(lines.face_material, np.int64), counts)
    texture = _corners(lines, 1, counts, lines.face_texture_seen)
    places = number_table(lines.textures) if lines.textures else np.zeros((0, 2))
    for row, name in enumerate(lines.materials):
        inside = (material == row) & (corners >= 0) & (corners < len(sums))
        if name in images:
            inside &= (texture >= 0) & (texture < len(places))
            colors = _sampled(images[name], places[texture[inside]])
        elif name in plain:
            colors = np.broadcast_to(plain[name], (int(inside.sum()), 3))
        else:
            continue
        np.add.at(sums, corners[inside], colors)
        np.add.at(hits, corners[inside], 1)
    known = hits > 0
    notes.append(
        f"colours from {counted(len(images), 'texture')} and {counted(len(plain), 'plain material')} of the OBJ"
    )
    mean = np.divide(sums, hits[:, None], out=np.full(sums.shape, float(_GREY)), where=known[:, None])
    return np.rint(mean).astype(np.uint8), notes


def _materials(path: pathlib.Path, lines: _Lines) -> tuple[dict, dict, list[str]]:
    """Colours (0 to 255) and images uint8 [height, width, 3] of the materials that are used, by name."""
    plain: dict[str, tuple[float, ...]] = {}
    images: dict[str, np.ndarray] = {}
    notes, name = [], ""
    for library in lines.libraries:
        file = path.parent / library
        if not file.is_file():
            notes.append(f"warning: its materials are missing, {library} is not beside it")
            continue
        for line in file.read_bytes().splitlines():
            words = line.strip().decode("utf-8", "replace").split(maxsplit=1)
            if len(words) < 2:
                continue
            if words[0] == "newmtl":
                name = words[1]
            elif words[0] == "Kd" and name in lines.materials:
                plain[name] = tuple(255 * min(max(float(part), 0.0), 1.0) for part in words[1].split()[:3])
            elif words[0] == "map_Kd" and name in lines.materials:
                image = _image(file.parent, words[1])
                if image is None:
                    notes.append(f"warning: a texture cannot be read, {words[1]}")
                else:
                    images[name] = image
    return {name: color for name, color in plain.items() if name not in images}, images, notes


def _image(folder: pathlib.Path, words: str) -> np.ndarray | None:
    """The image that a map_Kd line names, options before it or not; None if it is missing or damaged."""
    for name in (words, words.split()[-1]):
        try:
            with Image.open(folder / name.replace("\\", "/")) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError):
            continue
    return None


def _sampled(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The pixels at texture coordinates [N, 2]; they repeat beyond 0 and 1, and v points up."""
    height, width = image.shape[:2]
    u, v = (places - np.floor(places)).T
    column = np.minimum((u * width).astype(np.int64), width - 1)
    row = np.minimum(((1 - v) * height).astype(np.int64), height - 1)
    return image[row, column].astype(np.float64)
