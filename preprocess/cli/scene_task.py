"""One scene from its mesh file to its scene file: the task that worker processes run."""

import contextlib
import pathlib
import time
from typing import NamedTuple

from preprocess.formats.files import SUFFIX
from preprocess.formats.readers import check_required, read_mesh, source_hash
from preprocess.labels.label_files import PROPERTY
from preprocess.labels.label_map import UNLABELLED, LabelMap
from preprocess.mesh.mesh import Mesh, MeshError
from preprocess.scene.build import build_scene
from preprocess.scene.params import HierarchyParams
from preprocess.scene.scene_file import SceneError, SceneHeader, is_intact, read_header, write_scene
from trainlib.core.files import remove_leftovers


class Reading(NamedTuple):
    """How mesh files are read (see `readers.read_mesh`), and whether meshes without colours or labels are refused."""

    units: str = "m"
    up: str = "z"
    repair: bool = False
    require_colors: bool = False
    require_labels: bool = False
    label_property: str | None = None

    def mesh(self, path: pathlib.Path, labels: str | None = None) -> Mesh:
        """The checked mesh of a file, with the labels from `labels` if given."""
        return read_mesh(path, self.units, self.up, self.repair, labels, label_property=self.label_property)

    def check_required(self, path: pathlib.Path, mesh: Mesh) -> None:
        """Raises MeshError if the mesh lacks what is required."""
        check_required(path, mesh, self.require_colors, self.require_labels, self.label_property)


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
    header: SceneHeader | None = None
    built: bool = False
    seconds: float = 0.0
    cause: str = ""


def prepare_scene(task: SceneTask) -> Outcome:
    """Builds the scene file unless it exists with the same format, parameters and source. Failures are returned."""
    start = time.perf_counter()
    try:
        outcome = Outcome(task.name, *_prepare(task))
    except (ValueError, OSError, MemoryError) as error:
        cause = str(error) if isinstance(error, MeshError | OSError) else f"{task.path}: {error or 'out of memory'}"
        outcome = Outcome(task.name, cause=cause)
    return outcome._replace(seconds=time.perf_counter() - start)


def _prepare(task: SceneTask) -> tuple[SceneHeader, bool]:
    """The header of the scene file, and whether it was built."""
    target = task.output / f"{task.name}{SUFFIX}"
    digest = source_hash(task.path)
    more = _more_params(task)
    with contextlib.suppress(FileNotFoundError, SceneError):
        found = None if task.overwrite else read_header(target)
        wanted = (digest, {**task.params.to_dict(), **more})
        if found is not None and (found.source_hash, found.params) == wanted and is_intact(target):
            return found, False
    mesh = task.reading.mesh(task.path)
    task.reading.check_required(task.path, mesh)
    scene = build_scene(task.name, mesh, task.params, task.label_map, source_hash=digest, more_params=more)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    write_scene(target, scene)
    return scene.header(), True


def _more_params(task: SceneTask) -> dict:
    """Parameters of reading and labelling that decide the content.

    Those of labels are omitted where they are the default, so that scenes without them stay up to date.
    """
    reading = task.reading
    more = {"units": reading.units, "up": reading.up, "repair": reading.repair, "label_ids": list(task.label_map.ids)}
    if reading.label_property not in (None, PROPERTY):
        more["label_property"] = reading.label_property
    if task.label_map.unlabelled != UNLABELLED:
        more["unlabelled"] = task.label_map.unlabelled
    return more
