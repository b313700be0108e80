"""Which mesh files of a folder are scenes, and what they are called."""

import pathlib
from typing import NamedTuple

from preprocess.mesh import MeshError
from preprocess.readers import LABELS_SUFFIX, READERS

SCANNET_SUFFIX = "_vh_clean_2"


class Source(NamedTuple):
    """A scene's name and its mesh file."""

    name: str
    path: pathlib.Path


def find_sources(folder: str | pathlib.Path) -> list[Source]:
    """All meshes under a folder, by name. NAME.labels.ply files are labels, not meshes.

    In a folder with *_vh_clean_2.ply files (ScanNet's layout) only those count, and the scene's name is what comes
    before. Raises MeshError if the folder is missing or empty, or if two meshes have the same name.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise MeshError(folder, "there is no such folder", "Give the folder of the meshes as --input.")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in READERS and not path.name.endswith(LABELS_SUFFIX) and path.is_file()
    )
    scannet_folders = {path.parent for path in paths if path.stem.endswith(SCANNET_SUFFIX)}
    named: dict[str, pathlib.Path] = {}
    for path in paths:
        if path.parent in scannet_folders and not path.stem.endswith(SCANNET_SUFFIX):
            continue
        name = path.stem.removesuffix(SCANNET_SUFFIX)
        if name in named:
            raise MeshError(path, f"the name {name} is also that of {named[name]}", "Rename one of the two.")
        named[name] = path
    if not named:
        raise MeshError(folder, "no mesh found", f"Files that are read: {', '.join('*' + e for e in READERS)}.")
    return [Source(name, named[name]) for name in sorted(named)]


def read_split(path: str | pathlib.Path) -> list[str]:
    """Scene names of a split list, one a line; empty lines are skipped. Raises MeshError if there is none."""
    names = list(dict.fromkeys(pathlib.Path(path).read_text().split()))
    if not names:
        raise MeshError(path, "the list is empty", "Write one scene name a line.")
    return names


def select(sources: list[Source], names: list[str] | None) -> tuple[list[Source], list[str]]:
    """The sources with these names, in the list's order, and the names that have no source. None selects all."""
    if names is None:
        return sources, []
    by_name = {source.name: source for source in sources}
    return [by_name[name] for name in names if name in by_name], [name for name in names if name not in by_name]
