"""The door for mesh files: PLY, OBJ, OFF, STL and GLB in, a checked Mesh out."""

import hashlib
import pathlib

import numpy as np

from preprocess.formats.files import GLB, OBJ, OFF, PLY, STL, label_file_of
from preprocess.formats.gltf.glb import read_glb
from preprocess.formats.obj.obj import read_obj
from preprocess.formats.off import read_off
from preprocess.formats.ply.ply import read_ply
from preprocess.formats.stl import read_stl
from preprocess.formats.text_numbers import whole_numbers
from preprocess.labels.label_files import (
    PROPERTY,
    RawLabels,
    how_to_label,
    likely_property,
    read_label_file,
    read_labels_inside,
    vertex_labels,
)
from preprocess.labels.label_map import ABSENT
from preprocess.mesh.mesh import Mesh, MeshError
from preprocess.mesh.validate import validated_mesh

READERS = {PLY: read_ply, OBJ: read_obj, OFF: read_off, STL: read_stl, GLB: read_glb}


def read_mesh(
    path: str | pathlib.Path,
    units: str = "m",
    up: str = "z",
    repair: bool = False,
    labels: str | pathlib.Path | None = None,
    *,
    label_property: str | None = None,
) -> Mesh:
    """Reads and checks a mesh file; vertices keep the file's order.

    Args:
        units, up: keys of `units.METRES` and `units.UP_ROTATIONS`; the mesh comes out in metres and z up. "auto" takes
            the axis that the surface shows (see `up_axis.estimate_up`); a note gives the reason.
        labels: a label file; without it NAME.labels.ply, .npy or .txt next to the mesh if there is one, else the mesh
            file itself if it is a PLY. Labels of faces become labels of vertices (`label_files.vertex_labels`).
        label_property: name of the property of a PLY file that holds the labels, `label` if None.
        repair: accept non-finite vertices (see `validate.validated_mesh`).

    Raises:
        MeshError: the file is damaged, or its content is not a usable mesh.
        OSError: the file cannot be read.
    """
    path = pathlib.Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise MeshError(path, f"no reader for the ending {path.suffix!r}", f"Known: {', '.join(READERS)}.")
    content = path.read_bytes()
    raw = reader(path, content)
    if path.suffix.lower() == ".glb" and up == "z":
        raw.notes.append("warning: glTF is y up by its standard; give --up y unless it was exported otherwise")
    beside = label_file_of(path) if labels is None else pathlib.Path(labels)
    inside, raw.labels = raw.labels, None
    found = _labels(path, content, beside, inside, label_property)
    mesh = validated_mesh(path, raw, units, up, repair)
    if found is not None:
        ids = vertex_labels(found, path, raw, mesh.notes)
        mesh.labels = np.clip(ids, ABSENT, 2**31 - 1).astype(np.int32)
    elif path.suffix.lower() == ".ply":
        hint = likely_property(path, content, label_property)
        mesh.notes += [f"warning: {hint}"] if hint else []
    mesh.labels_file = str(beside or path)
    return mesh


def _labels(
    path: pathlib.Path,
    content: bytes,
    beside: pathlib.Path | None,
    inside: np.ndarray | None,
    label_property: str | None,
) -> RawLabels | None:
    """Labels of the file next to a mesh, else of the mesh file; inside: numbers [V] that the mesh's reader found."""
    if beside is not None:
        return read_label_file(beside, label_property)
    if inside is not None and label_property in (None, PROPERTY):
        return RawLabels(whole_numbers(path, inside, f"the property `{PROPERTY}`"), path, "vertex")
    return read_labels_inside(path, content, label_property) if path.suffix.lower() == ".ply" else None


def check_required(
    path: pathlib.Path, mesh: Mesh, colors: bool, labels: bool, label_property: str | None = None
) -> None:
    """Raises MeshError if the mesh has no colours or no labels although they are required."""
    if colors and mesh.colors is None:
        raise MeshError(path, "the mesh has no colours", "Omit --require_colors to use grey.")
    if labels and mesh.labels is None:
        cause = f"the mesh has no labels: {how_to_label(path, label_property)}"
        raise MeshError(path, cause, "Add labels, or omit --require_labels.")


def read_raw_labels(
    path: pathlib.Path, label_property: str | None = None, labels: str | pathlib.Path | None = None
) -> np.ndarray | None:
    """Raw ids of a mesh file without reading the mesh: int64 [V], or [F] of faces, or None if it has none.

    `label_property` and `labels` are as for `read_mesh`.
    """
    beside = label_file_of(path) if labels is None else pathlib.Path(labels)
    if beside is None and path.suffix.lower() != ".ply":
        return None
    found = _labels(path, b"" if beside else path.read_bytes(), beside, None, label_property)
    return None if found is None else found.ids


def source_hash(path: pathlib.Path) -> str:
    """SHA-256 over the mesh file and its label file, if any."""
    digest = hashlib.sha256(path.read_bytes())
    beside = label_file_of(path)
    if beside is not None:
        digest.update(b"labels" + beside.read_bytes())
    return digest.hexdigest()
