"""What one mesh or scene file holds, and what is wrong with it."""

import dataclasses
import pathlib

import numpy as np

from preprocess.cli.scene_task import Reading
from preprocess.cli.sources import meant
from preprocess.formats.files import SUFFIX, is_label_file, is_mesh, labelled_stem
from preprocess.labels.choice import SIXTEEN_BITS
from preprocess.labels.label_map import ABSENT, LARGEST_ID, MINUS_ONE, LabelMap
from preprocess.mesh.mesh import Mesh, MeshError
from preprocess.mesh.units import METRES
from preprocess.scene.build import MAX_UNKNOWN, median_edge, mesh_classes, require_extent
from preprocess.scene.scene_file import Scene, SceneError, read_scene
from trainlib.core.text import pluralize

WARNING = "warning: "
SHOWN_IDS = 12


@dataclasses.dataclass(frozen=True)
class CheckTask:
    """A file and how to read it. The fields are flags of the command line, and the `clash` with a file of its name."""

    path: pathlib.Path
    reading: Reading
    labels: str | None
    label_map: LabelMap | None
    unlabelled: int | None
    voxel_size: float
    clash: MeshError | None


@dataclasses.dataclass
class Report:
    """What was found in one file.

    Attributes:
        extent: size of the bounding box in the scene's frame.
        edge: median length of the faces' sides.
        unit: unit of both, metres unless the file's unit has no scale.
        labels: {id: vertices} of a mesh and {class index: vertices} of a scene file, None without labels.
        unlabelled: the id among them that means unlabelled, None if there is none.
        error: cause and remedy, "" if there is none.
    """

    file: str
    vertices: int = 0
    faces: int = 0
    extent: tuple[float, ...] = ()
    edge: float = 0.0
    unit: str = "m"
    colors: bool = False
    labels: dict[int, int] | None = None
    unlabelled: int | None = None
    notes: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    error: str = ""

    def lines(self) -> list[str]:
        """As text: one line with the counts, then one for each finding."""
        size = f"{' x '.join(f'{length:.3g}' for length in self.extent)} {self.unit}"
        counts = f"{pluralize(self.vertices, 'vertex')}, {pluralize(self.faces, 'face')}"
        meaning = dict.fromkeys((self.unlabelled, MINUS_ONE), ", unlabelled")
        ids = [f"{id_} ({count}{meaning.get(id_, '')})" for id_, count in (self.labels or {}).items()]
        listed = f"labels {', '.join(ids[:SHOWN_IDS])}{' ...' if ids[SHOWN_IDS:] else ''}"
        labels = "no labels" if self.labels is None else listed
        what = f"{counts}, {size}, median edge {self.edge:.3g} {self.unit}, {labels}"
        head = [f"{self.file}: {what}"] if self.vertices else [f"{self.file}:"]
        marked = [("", self.notes), (WARNING, self.warnings), ("error: ", [self.error] if self.error else [])]
        return head + [f"  {mark}{text}" for mark, texts in marked for text in texts]


def report_file(task: CheckTask) -> Report:
    """Reads one mesh or scene file; an error that a file can cause is part of the report."""
    report = Report(str(task.path), unit="m" if METRES[task.reading.units] else task.reading.units)
    try:
        if task.path.name.endswith(SUFFIX):
            _check_scene(read_scene(task.path), report)
        else:
            _check_mesh(task, report)
    except (MeshError, SceneError) as error:
        where = "" if error.file == report.file else f"{error.file}: "
        report.error = f"{where}{error.cause}. {error.remedy}"
    except (ValueError, OSError, MemoryError) as error:
        report.error = f"{error or 'out of memory'}"
    return report


def _check_mesh(task: CheckTask, report: Report) -> None:
    """Fills in the report of a mesh file; raises MeshError where preprocessing would."""
    path = task.path
    if is_label_file(path):
        raise _no_mesh(path)
    mesh = task.reading.mesh(path, task.labels)
    _describe(report, mesh, mesh.colors is not None)
    task.reading.check_required(path, mesh)
    require_extent(mesh.vertices, task.voxel_size)
    if mesh.labels is not None:
        _check_labels(mesh, task, report)
    if task.clash is not None:
        raise task.clash


def _no_mesh(path: pathlib.Path) -> MeshError:
    """Explains that a label file is not a mesh, and which mesh it may belong to."""
    stem = labelled_stem(path)
    meshes = sorted(other for other in path.parent.iterdir() if is_mesh(other)) if path.parent.is_dir() else []
    own = [mesh for mesh in meshes if mesh.with_suffix("") == stem]
    if own:
        return MeshError(path, f"this is the label file of {own[0]}", "Name the mesh; its labels are read with it.")
    cause = f"no mesh {stem.name}.* is next to it{meant(stem.name, [mesh.stem for mesh in meshes])}"
    return MeshError(path, cause, "Name the mesh and its label file alike, or remove the label file.")


def _check_labels(mesh: Mesh, task: CheckTask, report: Report) -> None:
    """Ids against the map, or against what any map can have; raises MeshError where preprocessing would."""
    ids, counts = np.unique(mesh.labels, return_counts=True)
    in_map = () if task.label_map is None else task.label_map.ids
    unlabelled = [i for i in ids.tolist() if i not in in_map and i in (task.unlabelled, MINUS_ONE, ABSENT)]
    report.unlabelled = task.unlabelled if task.unlabelled in unlabelled else None
    labelled = ~np.isin(ids, unlabelled)
    impossible = labelled & ((ids < 0) | (ids > LARGEST_ID))
    if not labelled.any():
        names = " or ".join(str(id_) for id_ in unlabelled if id_ != ABSENT)
        report.warnings.append(f"all labels are {names or 'missing'}, which means unlabelled")
    elif task.label_map is not None:
        notes: list[str] = []
        mesh_classes(mesh, task.label_map, notes)
        _add_notes(report, notes)
    elif impossible.any():
        none, all_ = counts[impossible].sum(), counts[labelled].sum()
        listed = ", ".join(map(str, ids[impossible][:SHOWN_IDS]))
        text = f"{none} of {all_} labelled vertices have ids that are none: {listed}"
        if none > MAX_UNKNOWN * all_:
            raise MeshError(mesh.labels_file, text, f"Ids are 0 to {LARGEST_ID}. {SIXTEEN_BITS}")
        report.warnings.append(f"{text}; they are ignored")


def _check_scene(scene: Scene, report: Report) -> None:
    """Fills in the report of a scene file, whose checksums, version and arrays were checked in reading."""
    units = scene.params.get("units", "m")
    report.unit = "m" if METRES.get(units) else units
    _describe(report, scene, scene.has_colors)
    levels = ", ".join(str(len(vertices)) for vertices in scene.level_vertices)
    voxels = pluralize(len(scene.voxels.coords[0]), "voxel")
    report.notes.append(f"scene file: levels of {levels} vertices, {voxels}")


def _describe(report: Report, mesh: Mesh | Scene, colors: bool) -> None:
    report.vertices, report.faces, report.colors = len(mesh.vertices), len(mesh.faces), colors
    report.extent = tuple(np.ptp(mesh.vertices, axis=0).tolist())
    report.edge = median_edge(mesh)
    if mesh.labels is not None:
        counted_ids = zip(*(part.tolist() for part in np.unique(mesh.labels, return_counts=True)))
        report.labels = {id_: count for id_, count in counted_ids if id_ != ABSENT}
    _add_notes(report, mesh.notes)


def _add_notes(report: Report, notes: list[str]) -> None:
    report.notes += [note for note in notes if not note.startswith(WARNING)]
    report.warnings += [note.removeprefix(WARNING) for note in notes if note.startswith(WARNING)]
