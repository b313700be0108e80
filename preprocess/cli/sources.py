"""Which mesh files of a folder are scenes, what they are called, and which of them a list names."""

import collections
import pathlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

from preprocess.cli.folders import SHOWN, skipped_lines, walk
from preprocess.formats.files import (
    MESH_ENDINGS,
    SUFFIX,
    is_label_file,
    is_mesh,
    labelled_stem,
    meshes_among,
    walk_folder,
)
from preprocess.mesh.mesh import MeshError
from trainlib.core.text import did_you_mean, read_names

SCANNET_SUFFIX = "_vh_clean_2"
_ONE_NAME_PER_LINE = "Write one scene name per line."


class Source(NamedTuple):
    """A scene's name and its mesh file."""

    name: str
    path: pathlib.Path


class Clash(NamedTuple):
    """Mesh files that have one name, such as a.ply and a.obj; none of them is read."""

    name: str
    paths: list[pathlib.Path]

    def error(self, path: pathlib.Path) -> MeshError:
        """The error of one of the files."""
        others = " and ".join(str(other) for other in self.paths if other != path)
        return MeshError(path, f"the name {self.name} also belongs to {others}", "Keep or rename one of them.")


class Found(NamedTuple):
    """Meshes of a folder by name, files of one name, and one line for each kind of file that is skipped."""

    sources: list[Source]
    clashes: list[Clash]
    notes: list[str]


def find_files(path: pathlib.Path) -> tuple[list[pathlib.Path], dict[pathlib.Path, MeshError], list[str]]:
    """The file itself, or all meshes, scene files and label files without a mesh under a folder, by path.

    Also {mesh: error of meshes that share its name}, and one line for each kind of skipped file.
    """
    if path.is_file():
        return [path], {}, []
    inside = walk_folder(path)
    meshes = [file for file in inside.files if is_mesh(file)]
    scene_files = [file for file in inside.files if file.name.endswith(SUFFIX)]
    notes = skipped_lines(inside.skipped, path) + _other_files_line(inside.files)
    found = sorted([*meshes, *scene_files, *_label_files_without_mesh(inside.files)])
    if not found:
        remedy = f"Files that are read: {', '.join('*' + ending for ending in [*MESH_ENDINGS, SUFFIX])}."
        raise MeshError(path, "; ".join(["no mesh and no scene file found", *notes]), remedy)
    groups = [Clash(name, paths) for name, paths in paths_by_name(meshes, path).items() if len(paths) > 1]
    return found, {file: clash.error(file) for clash in groups for file in clash.paths}, notes


def find_sources(folder: str | pathlib.Path) -> Found:
    """All meshes under a folder (or the one mesh file that is given), by name.

    A mesh is called by its path below the folder, without the ending: `kitchen/table`. In a folder with
    *_vh_clean_2.ply files (ScanNet's layout) only those count, and the scene's name is what comes before, without the
    folder. Raises MeshError if the folder is missing or empty.
    """
    top = pathlib.Path(folder)
    if top.is_file():
        return Found([Source(top.stem.removesuffix(SCANNET_SUFFIX), top)], [], [])
    inside = walk_folder(top)
    named = sorted(paths_by_name(meshes_among(inside, top), top).items())
    sources = [Source(name, paths[0]) for name, paths in named if len(paths) == 1]
    clashes = [Clash(name, paths) for name, paths in named if len(paths) > 1]
    alone = _label_files_without_mesh(inside.files)
    skipped = inside.skipped | ({"label files without a mesh of their name": alone} if alone else {})
    return Found(sources, clashes, skipped_lines(skipped, top) + _other_files_line(inside.files))


def paths_by_name(meshes: Sequence[pathlib.Path], top: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """{scene name: mesh files of that name}; meshes next to *_vh_clean_2.ply files have none."""
    scannet_folders = {path.parent for path in meshes if path.stem.endswith(SCANNET_SUFFIX)}
    named: dict[str, list[pathlib.Path]] = collections.defaultdict(list)
    for path in meshes:
        if path.stem.endswith(SCANNET_SUFFIX):
            named[path.stem.removesuffix(SCANNET_SUFFIX)].append(path)
        elif path.parent not in scannet_folders:
            named[path.relative_to(top).with_suffix("").as_posix()].append(path)
    return dict(named)


def _label_files_without_mesh(files: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Label files to which none of the files is the mesh."""
    stems = {file.with_suffix("") for file in files if is_mesh(file)}
    return [file for file in files if is_label_file(file) and labelled_stem(file) not in stems]


def _other_files_line(files: Sequence[pathlib.Path]) -> list[str]:
    """`other files, not read as meshes: 3 .png, 1 .mtl` for files of other kinds; no line for none."""
    others = (f for f in files if not (is_mesh(f) or is_label_file(f) or f.name.endswith(SUFFIX)))
    counts = collections.Counter(file.suffix.lower() or "without an ending" for file in others)
    shown = ", ".join(f"{count} {ending}" for ending, count in counts.most_common(SHOWN))
    more = ", ..." if len(counts) > SHOWN else ""
    return [f"other files, not read as meshes: {shown}{more}"] if counts else []


def scene_names(folder: str | pathlib.Path) -> list[str]:
    """Names of the scene files under a folder, sorted; links are followed. It is empty without the folder."""
    top = pathlib.Path(folder)
    files = walk(top).files if top.is_dir() else []
    return sorted(file.relative_to(top).as_posix().removesuffix(SUFFIX) for file in files if file.name.endswith(SUFFIX))


def read_scene_list(path: str | pathlib.Path) -> list[str]:
    """Scene names of a list, each once (see `read_list`). Raises MeshError also if there is none."""
    names = list(dict.fromkeys(read_list(path)))
    if not names:
        raise MeshError(path, "the list is empty", _ONE_NAME_PER_LINE)
    return names


def read_list(path: str | pathlib.Path) -> list[str]:
    """Names of a list file (`trainlib.core.text.read_names`). Raises MeshError for what is not there or is not text."""
    if not pathlib.Path(path).is_file():
        raise MeshError(path, "there is no such list file", _ONE_NAME_PER_LINE)
    try:
        return read_names(path)
    except ValueError as error:
        cause, _, remedy = str(error).removeprefix(f"{path}: ").partition(". ")
        raise MeshError(path, cause, remedy) from None


def resolve_names(names: Sequence[str], present: Collection[str]) -> list[str]:
    """The names as scenes are called (see `scene_name`), each once and in order."""
    present = set(present)
    return list(dict.fromkeys(scene_name(name, present) for name in names))


def scene_name(name: str, present: set[str]) -> str:
    """What the scene of a list's name is called.

    A name that is not present is also tried as a path: with back-slashes, `./` or the ending of a mesh or scene file.
    One that is not present in any of these forms stays as it is.
    """
    if name in present:
        return name
    path = pathlib.PurePosixPath(name.replace("\\", "/")).as_posix()
    for ending in (SUFFIX, *MESH_ENDINGS):
        path = path[: -len(ending)] if path.lower().endswith(ending) else path
    scannet = path.rpartition("/")[2].removesuffix(SCANNET_SUFFIX) if path.endswith(SCANNET_SUFFIX) else path
    return next((form for form in (path, scannet) if form in present), name)


def meant(name: str, present: Collection[str]) -> str:
    """` (did you mean 'hall/scan'?)` for a name that is not present, or ""."""
    alike = [other for other in present if other.rpartition("/")[2] == name]
    near = f"; did you mean {alike[0]!r}?" if alike else did_you_mean(name, present)
    return f" ({near.removeprefix('; ')})" if near else ""
