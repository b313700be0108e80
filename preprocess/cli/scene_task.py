"""One scene from its mesh file to its scene file: the task that worker processes run."""

import pathlib
import time
from typing import NamedTuple

from preprocess.formats.readers import check_required, read_mesh, source_hash
from preprocess.labels.label_files import PROPERTY
from preprocess.labels.label_map import UNLABELLED, LabelMap
from preprocess.mesh.mesh import MeshError
from preprocess.scene.build import build_scene
from preprocess.scene.hierarchy import HierarchyParams
from preprocess.scene.scene_file import SUFFIX, SceneError, SceneHeader, is_intact, read_header, write_scene
from trainlib.core.files import remove_leftovers


class Reading(NamedTuple):
    """How mesh files are read (see `readers.read_mesh`), and whether meshes without colours or labels are refused."""

    units: str = "m"
    up: str = "z"
    repair: bool = False
    require_colors: bool = False
    require_labels: bool = False
    label_property: str | None = None


class SceneTask(NamedTuple):
    """A scene to prepare. With `overwrite` it is built even if its file is up to date."""

    name: str
    path: pathlib.Path
    output: pathlib.Path
    reading: Reading
    params: HierarchyParams
    label_map: LabelMap
    overwrite: bool


class Outcome(NamedTuple):
    """The result for one scene.

    Attributes:
        header: header of the scene file, None if the scene failed.
        built: False if the file was up to date.
        cause: cause of a failure, with the file's name and the remedy.
    """

    name: str
    header: SceneHeader | None
    built: bool
    seconds: float
    cause: str = ""


def scene_path(output: pathlib.Path, name: str) -> pathlib.Path:
    """The path of a scene file by its name."""
    return output / f"{name}{SUFFIX}"


def prepare_scene(task: SceneTask) -> Outcome:
    """Builds the scene file unless it exists with the same format, parameters and source. Failures are returned."""
    start = time.perf_counter()
    try:
        header, built = _prepare(task)
        return Outcome(task.name, header, built, time.perf_counter() - start)
    except (ValueError, OSError, MemoryError) as error:
        cause = str(error) if isinstance(error, MeshError | OSError) else f"{task.path}: {error or 'out of memory'}"
        return Outcome(task.name, None, False, time.perf_counter() - start, cause)


def _prepare(task: SceneTask) -> tuple[SceneHeader, bool]:
    target = scene_path(task.output, task.name)
    digest = source_hash(task.path)
    more = _more_params(task)
    if not task.overwrite:
        found = _found(target)
        same = found is not None and found.source_hash == digest
        if same and found.params == {**task.params.to_dict(), **more} and is_intact(target):
            return found, False
    reading = task.reading
    mesh = read_mesh(task.path, reading.units, reading.up, reading.repair, label_property=reading.label_property)
    check_required(task.path, mesh, reading.require_colors, reading.require_labels, reading.label_property)
    scene = build_scene(task.name, mesh, task.params, task.label_map, digest, more)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    write_scene(target, scene)
    return scene.header(), True


def _more_params(task: SceneTask) -> dict:
    """Parameters of reading and labelling that decide the content.

    Those of labels are omitted where they are the default, so that scenes without them stay up to date.
    """
    more = {
        "units": task.reading.units,
        "up": task.reading.up,
        "repair": task.reading.repair,
        "label_ids": list(task.label_map.ids),
    }
    if task.reading.label_property not in (None, PROPERTY):
        more["label_property"] = task.reading.label_property
    if task.label_map.unlabelled != UNLABELLED:
        more["unlabelled"] = task.label_map.unlabelled
    return more


def _found(target: pathlib.Path) -> SceneHeader | None:
    """The header of an existing scene file of this format."""
    try:
        return read_header(target)
    except (FileNotFoundError, SceneError):
        return None
