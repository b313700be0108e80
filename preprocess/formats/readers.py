"""The door for mesh files: PLY, OBJ, OFF, STL and GLB in, a checked Mesh out."""

import hashlib
import pathlib

import numpy as np

from preprocess.cli.folders import Walk, skipped_lines, walk
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
    is_label_file,
    label_file_of,
    likely_property,
    read_label_file,
    read_labels_inside,
    vertex_labels,
)
from preprocess.labels.label_map import ABSENT
from preprocess.mesh.mesh import Mesh, MeshError
from preprocess.mesh.validate import validated_mesh

READERS = {".ply": read_ply, ".obj": read_obj, ".off": read_off, ".stl": read_stl, ".glb": read_glb}


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


def find_meshes(path: str | pathlib.Path) -> list[pathlib.Path]:
    """The mesh file itself, or all meshes under a folder in the order of their paths; label files are none.

    Links are followed. Hidden and system files are skipped (`folders.walk`). Raises MeshError if there is
    no such file or folder, or no mesh in it.
    """
    path = pathlib.Path(path)
    return [path] if path.is_file() else meshes_among(walk_folder(path), path)


def walk_folder(path: pathlib.Path) -> Walk:
    """What is under a folder. Raises MeshError if there is no such folder."""
    if not path.is_dir():
        raise MeshError(path, "there is no such file or folder", "Look for a misspelling.")
    return walk(path)


def meshes_among(inside: Walk, top: pathlib.Path) -> list[pathlib.Path]:
    """The meshes of a folder by path. Raises MeshError if there is none, with what was skipped."""
    found = [file for file in inside.files if is_mesh(file)]
    if not found:
        cause = "; ".join(["no mesh found", *skipped_lines(inside.skipped, top)])
        raise MeshError(top, cause, f"Files that are read: {', '.join('*' + e for e in READERS)}.")
    return found


def is_mesh(path: pathlib.Path) -> bool:
    """Whether a file's name, in capitals too, belongs to a mesh and not to a label file."""
    return path.suffix.lower() in READERS and not is_label_file(path)


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
