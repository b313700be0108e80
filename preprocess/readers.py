"""The door for mesh files: PLY, OBJ, OFF, STL and GLB in, a checked Mesh out."""

import hashlib
import pathlib

import numpy as np

from preprocess.checks import checked_mesh
from preprocess.formats import read_off, read_stl
from preprocess.mesh import Mesh, MeshError, RawMesh, counted
from preprocess.obj import read_obj
from preprocess.ply import read_ply, read_ply_labels


def _read_glb(path: pathlib.Path, content: bytes) -> RawMesh:
    from preprocess.glb import read_glb  # its library takes a second to import, longer than most scenes take

    return read_glb(path, content)


READERS = {".ply": read_ply, ".obj": read_obj, ".off": read_off, ".stl": read_stl, ".glb": _read_glb}
LABELS_SUFFIX = ".labels.ply"


def read_mesh(
    path: str | pathlib.Path,
    units: str = "m",
    up: str = "z",
    repair: bool = False,
    labels: str | pathlib.Path | None = None,
) -> Mesh:
    """Reads and checks a mesh file; vertices keep the file's order.

    units, up: keys of `units.METRES` and `units.UP_ROTATIONS`; the mesh comes out in metres and z up. "auto" takes the
        axis that the surface shows (see `up_axis.estimate_up`); a note gives the reason.
    labels: a PLY file with the property `label`; without it NAME.labels.ply beside the mesh if there is one, else the
        mesh file itself.
    repair: accept non-finite vertices (see `checks.checked_mesh`). Raises MeshError; OSError if it cannot be read.
    """
    path = pathlib.Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise MeshError(path, f"no reader for the ending {path.suffix!r}", f"Known: {', '.join(READERS)}.")
    raw = reader(path, path.read_bytes())
    if path.suffix.lower() == ".glb" and up == "z":
        raw.notes.append("warning: glTF is y up by its standard; give --up y unless it was exported otherwise")
    beside = labels_path(path) if labels is None else pathlib.Path(labels)
    if beside is not None:
        raw.labels = read_labels(beside)
        if len(raw.labels) != len(raw.vertices):
            cause = f"{counted(len(raw.labels), 'label')} for the {counted(len(raw.vertices), 'vertex')} of {path}"
            raise MeshError(beside, cause, "Both files must list the same vertices in the same order.")
    mesh = checked_mesh(path, raw, units, up, repair)
    mesh.labels_file = str(beside or path)
    return mesh


def check_required(path: pathlib.Path, mesh: Mesh, colors: bool, labels: bool) -> None:
    """Raises MeshError if the mesh has no colours or no labels although they are required."""
    if colors and mesh.colors is None:
        raise MeshError(path, "the mesh has no colours", "Leave out --require_colors to use grey.")
    if labels and mesh.labels is None:
        expected = path.with_name(path.stem + LABELS_SUFFIX)
        cause = f"the mesh has no labels: there is no {expected}, and no property `label` in the file itself"
        raise MeshError(path, cause, "Add the label file, or leave out --require_labels.")


def find_meshes(path: str | pathlib.Path) -> list[pathlib.Path]:
    """The mesh file itself, or all meshes under a folder in the order of their paths; NAME.labels.ply files are none.

    Raises MeshError if there is no such file or folder, or no mesh in it.
    """
    path = pathlib.Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise MeshError(path, "there is no such file or folder", "Look for a misspelling.")
    found = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in READERS and not file.name.endswith(LABELS_SUFFIX) and file.is_file()
    )
    if not found:
        raise MeshError(path, "no mesh found", f"Files that are read: {', '.join('*' + e for e in READERS)}.")
    return found


def labels_path(path: pathlib.Path) -> pathlib.Path | None:
    """NAME.labels.ply beside the mesh NAME.*, or None."""
    beside = path.with_name(path.stem + LABELS_SUFFIX)
    return beside if beside.is_file() else None


def read_labels(path: pathlib.Path) -> np.ndarray:
    """Raw ids of a NAME.labels.ply, int64 [V]."""
    labels = read_ply_labels(path, path.read_bytes())
    if labels is None:
        raise MeshError(path, "no vertex property `label`", "Write the ids as a vertex property named label.")
    return labels


def read_raw_labels(path: pathlib.Path) -> np.ndarray | None:
    """Raw ids of a mesh file without reading the mesh: int64 [V], or None if it has none."""
    beside = labels_path(path)
    if beside is not None:
        return read_labels(beside)
    return read_ply_labels(path, path.read_bytes()) if path.suffix.lower() == ".ply" else None


def source_hash(path: pathlib.Path) -> str:
    """SHA-256 over the mesh file and its label file, if any."""
    digest = hashlib.sha256(path.read_bytes())
    beside = labels_path(path)
    if beside is not None:
        digest.update(b"labels" + beside.read_bytes())
    return digest.hexdigest()
