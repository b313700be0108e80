"""Raw label ids of a mesh: from NAME.labels.ply, .npy or .txt next to it, or from a property of the PLY file itself.

Ids belong to vertices, in the file's order, or to faces if their number fits.
"""

import pathlib
import re
import tokenize
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from preprocess.formats.files import LABEL_ENDINGS
from preprocess.formats.ply.header import parse_header
from preprocess.formats.ply.ply import read_ply_labels
from preprocess.formats.ply.surface import is_face_element
from preprocess.formats.text_numbers import plain_text
from preprocess.labels.label_map import ABSENT
from preprocess.mesh.mesh import MeshError, RawMesh
from trainlib.core.text import did_you_mean, pluralize, read_text

PROPERTY = "label"
_COMMENTS = ("#", "//")
_LIKELY = re.compile(
    r"label|class|semantic|categor|annot|instance|segment|(object|global|part)_?id|^(nyu|eigen|rio|mpcat|scannet)_?\d"
)
"""Names (lower case, without CloudCompare's `scalar_`) that other programs and data sets give to label properties."""
_GEOMETRY = {"x", "y", "z", "nx", "ny", "nz", "s", "t", "u", "v", "red", "green", "blue", "alpha", "r", "g", "b", "a"}
_NO_LABELS = _GEOMETRY | {"radius", "quality", "flags", "curvature"}


class RawLabels(NamedTuple):
    """Raw label ids as read from a file.

    Attributes:
        ids: int64 [V], or [F] for labels per face.
        file: file that holds them.
        element: "vertex", "face", "" if unknown.
    """

    ids: np.ndarray
    file: pathlib.Path
    element: str = ""


def read_label_file(path: pathlib.Path, name: str | None = None) -> RawLabels:
    """Ids of a label file by its ending; one of another ending is read as PLY.

    `name` is the property of a PLY file that holds them, `label` if None. Raises MeshError for a damaged file, OSError
    for a missing one.
    """
    reader = LABEL_READERS.get(f".labels{path.suffix.lower()}", _read_ply)
    return reader(path, name)


def read_labels_inside(path: pathlib.Path, content: bytes, name: str | None = None) -> RawLabels | None:
    """Ids of the property `name` (None: `label`) of a PLY file's vertices, else of its faces; None if it has none."""
    name = name or PROPERTY
    if name.lower() in _GEOMETRY:
        remedy = "Name the property that holds the labels."
        raise MeshError(path, f"the property `{name}` is a place, a normal or a colour", remedy)
    element = next((element for element, word in _properties(path, content) if word == name), None)
    if element is None:
        return None
    ids = read_ply_labels(path, content, name, element)
    return RawLabels(ids, path, "vertex" if element == "vertex" else "face")


def likely_property(path: pathlib.Path, content: bytes, name: str | None = None) -> str:
    """A sentence that names the properties of a PLY file without `name` if one may hold labels, else ""."""
    text, is_likely = _no_property(path, content, name)
    return text if is_likely else ""


def how_to_label(path: pathlib.Path, name: str | None = None) -> str:
    """Where the labels of a mesh without labels were looked for, and which of its properties may be meant."""
    inside = f", and {_no_property(path, path.read_bytes(), name)[0]}" if path.suffix.lower() == ".ply" else ""
    return f"there is no {path.stem}.labels.ply, .npy or .txt next to it{inside}"


def vertex_labels(labels: RawLabels, mesh: pathlib.Path, raw: RawMesh, notes: list[str]) -> np.ndarray:
    """Ids of the vertices, int64 [V]. Ids of faces become ids of vertices (`labels_from_faces`).

    Ids whose element is unknown belong to the vertices if the numbers agree, else to the faces if those numbers agree.

    Args:
        raw: a mesh whose face indices have been checked.

    Raises:
        MeshError: the numbers do not agree.
    """
    vertices, faces, number = len(raw.vertices), len(raw.counts), len(labels.ids)
    if labels.element != "face" and number == vertices:
        if number == faces and not labels.element:
            notes.append(f"the numbers of faces and vertices are equal; the {number} labels are taken for the vertices")
        return labels.ids
    if labels.element == "vertex" or number != faces:
        known = [pluralize(vertices, "vertex")] + ([] if labels.element == "vertex" else [pluralize(faces, "face")])
        cause = f"{pluralize(number, 'label')} for the {' and '.join(known)} of {mesh}"
        raise MeshError(labels.file, cause, "Both must list the same vertices (or faces) in the same order.")
    result = labels_from_faces(labels.ids, raw.corners, raw.counts, vertices)
    notes.append(f"labels of {pluralize(faces, 'face')}: a vertex has the label of most of its faces")
    alone = int((result == ABSENT).sum())
    if alone:
        notes.append(pluralize(alone, "vertex", "without a face unlabelled"))
    return result


def labels_from_faces(ids: np.ndarray, corners: np.ndarray, counts: np.ndarray, vertices: int) -> np.ndarray:
    """The most frequent id among the faces around each vertex, the smallest on a tie.

    Args:
        ids: int64 [F].
        corners: int64 [sum(counts)], vertices of all faces, one face after the other.
        counts: int64 [F].

    Returns:
        int64 [V]; ABSENT for a vertex without a face.
    """
    present, rows = np.unique(ids, return_inverse=True)
    pairs, votes = np.unique(corners * len(present) + np.repeat(rows.reshape(-1), counts), return_counts=True)
    vertex, row = np.divmod(pairs, max(len(present), 1))
    order = np.lexsort((row, -votes, vertex))
    owner, first = np.unique(vertex[order], return_index=True)
    result = np.full(vertices, ABSENT, np.int64)
    result[owner] = present[row[order][first]]
    return result


def _properties(path: pathlib.Path, content: bytes) -> list[tuple[str, str]]:
    """(element, name) of the number properties of a PLY file's vertices, then of its elements of faces."""
    elements = parse_header(path, plain_text(path, content)).elements
    vertices = [element for element in elements if element.name == "vertex"]
    chosen = vertices + [element for element in elements if is_face_element(element)]
    return [(element.name, p.name) for element in chosen for p in element.properties if p.length_type is None]


def _no_property(path: pathlib.Path, content: bytes, name: str | None) -> tuple[str, bool]:
    """Explains that a PLY file lacks a property, with the flag that takes another one; whether one may hold labels."""
    words = dict.fromkeys(word for _, word in _properties(path, content))
    others = [word for word in words if word.lower() not in _NO_LABELS]
    likely = [word for word in others if _LIKELY.search(word.lower().removeprefix("scalar_"))]
    text = f"the file has no property `{name or PROPERTY}`"
    if others:
        hint = f" (--label_property={likely[0]})" if likely else did_you_mean(name or PROPERTY, others)
        text += f"; it has {', '.join(f'`{word}`' for word in others[:8])}{hint}"
    return text, bool(likely)


def _read_ply(path: pathlib.Path, name: str | None) -> RawLabels:
    content = path.read_bytes()
    labels = read_labels_inside(path, content, name)
    if labels is None:
        remedy = "Write the ids as a property named label, of the vertices or of the faces."
        raise MeshError(path, _no_property(path, content, name)[0], remedy)
    return labels


def _read_npy(path: pathlib.Path, name: str | None) -> RawLabels:
    """An array of integers, [V] or [V, 1]; nothing is unpickled."""
    remedy = "Save it with numpy.save, as integers of shape [V]."
    with open(path, "rb") as file:
        begin = file.read(20)
    if not begin.startswith(np.lib.format.MAGIC_PREFIX):
        raise MeshError(path, f"not an array that numpy.save wrote: begins with {begin!r}", remedy)
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, tokenize.TokenError) as error:
        raise MeshError(path, f"the array is damaged or cut off, or holds objects ({error})", remedy) from None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise MeshError(path, f"an array of {values.dtype} with the shape {list(values.shape)}", remedy)
    return RawLabels(_whole(path, np.array(values), lambda row: f"row {row}"), path)


def _read_txt(path: pathlib.Path, name: str | None) -> RawLabels:
    """One whole number per line, in any encoding; empty lines and those that begin with # or // are skipped."""
    try:
        lines = read_text(path).splitlines()
    except ValueError as error:
        raise MeshError(path, str(error).removeprefix(f"{path}: "), "One label per line is needed.") from None
    values: dict[int, float] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith(_COMMENTS):
            continue
        try:
            values[number] = float(line)
        except ValueError:
            cause = f"line {number} is {line[:60]!r}, not a whole number"
            raise MeshError(path, cause, "Write one label per line, in the order of the vertices.") from None
    numbers = list(values)
    ids = _whole(path, np.array(list(values.values()), float), lambda row: f"line {numbers[row]}")
    return RawLabels(ids, path)


def _whole(path: pathlib.Path, values: np.ndarray, place: Callable[[int], str]) -> np.ndarray:
    """Integers of any type, or floats with whole values, as int64. Raises MeshError that names the first other."""
    with np.errstate(invalid="ignore"):
        integers = values.astype(np.int64)
        wrong = (integers != values) | (np.abs(values.astype(np.float64)) >= 2**53)
    if wrong.any():
        row = int(np.argmax(wrong))
        cause = f"{place(row)} is {values[row]}, not a whole number below 2^53"
        raise MeshError(path, cause, "Labels are whole numbers.")
    return integers


LABEL_READERS = dict(zip(LABEL_ENDINGS, (_read_ply, _read_npy, _read_txt)))
