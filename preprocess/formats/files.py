"""Mesh, label and scene files by their names: which kind a file is, and the meshes of a folder."""

import os
import pathlib

from preprocess.cli.folders import Walk, skipped_lines, walk
from preprocess.mesh.mesh import MeshError

PLY, OBJ, OFF, STL, GLB = MESH_ENDINGS = (".ply", ".obj", ".off", ".stl", ".glb")
LABEL_ENDINGS = (".labels.ply", ".labels.npy", ".labels.txt")
SUFFIX = ".scene.npz"
"""Ending of scene files."""


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
        raise MeshError(top, cause, f"Files that are read: {', '.join('*' + e for e in MESH_ENDINGS)}.")
    return found


def is_mesh(path: pathlib.Path) -> bool:
    """Whether a file's name, in capitals too, belongs to a mesh and not to a label file."""
    return path.suffix.lower() in MESH_ENDINGS and not is_label_file(path)


def is_label_file(path: pathlib.Path) -> bool:
    """Whether the name is NAME.labels.ply, .npy or .txt, in any case."""
    return path.name.lower().endswith(LABEL_ENDINGS)


def labelled_stem(label_file: pathlib.Path) -> pathlib.Path:
    """The path of the mesh that a label file belongs to, without its ending."""
    return label_file.with_suffix("").with_suffix("")


def label_file_of(mesh: pathlib.Path) -> pathlib.Path | None:
    """The label file next to a mesh, or None. Raises MeshError if there are several."""
    begin = len(mesh.stem)
    names = [name for name in os.listdir(mesh.parent) if name[:begin] == mesh.stem]
    found = sorted(name for name in names if name[begin:].lower() in LABEL_ENDINGS and (mesh.parent / name).is_file())
    if len(found) > 1:
        raise MeshError(mesh, f"{len(found)} label files are next to it, {' and '.join(found)}", "Keep one of them.")
    return mesh.parent / found[0] if found else None
