"""Which mesh files of a folder are scenes, and what they are called."""

import pathlib
from typing import NamedTuple

from preprocess.mesh import MeshError
from preprocess.readers import find_meshes

SCANNET_SUFFIX = "_vh_clean_2"


class Source(NamedTuple):
    """A scene's name and its mesh file."""

    name: str
    path: pathlib.Path


def find_sources(folder: str | pathlib.Path) -> list[Source]:
    """All meshes under a folder (or the one mesh file that is given), by name.

    A mesh is called by its path below the folder, without the ending: `kitchen/table`. In a folder with
    *_vh_clean_2.ply files (ScanNet's layout) only those count, and the scene's name is what comes before, without the
    folder. Raises MeshError if the folder is missing or empty, or if two meshes have the same name.
    """
    paths, top = find_meshes(folder), pathlib.Path(folder)
    scannet_folders = {path.parent for path in paths if path.stem.endswith(SCANNET_SUFFIX)}
    named: dict[str, pathlib.Path] = {}
    for path in paths:
        if path.stem.endswith(SCANNET_SUFFIX):
            name = path.stem.removesuffix(SCANNET_SUFFIX)
        elif path.parent in scannet_folders:
            continue
        else:
            name = path.stem if path == top else path.relative_to(top).with_suffix("").as_posix()
        if name in named:
            raise MeshError(path, f"the name {name} is also that of {named[name]}", "Rename one of the two.")
        named[name] = path
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
