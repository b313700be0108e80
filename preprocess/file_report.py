"""What one mesh or scene file holds, and what is wrong with it."""

import dataclasses
import pathlib

import numpy as np

from preprocess.build import MAX_UNKNOWN, median_edge, mesh_classes, require_extent
from preprocess.labels import LARGEST_ID, UNLABELLED, LabelMap
from preprocess.mesh import Mesh, MeshError, counted
from preprocess.readers import LABELS_SUFFIX, check_required, read_mesh
from preprocess.scene import SUFFIX, Scene, SceneError, read_scene
from preprocess.units import METRES

WARNING = "warning: "
SHOWN_IDS = 12


@dataclasses.dataclass(frozen=True)
class Task:
    """A file and how to read it; the fields are flags of the command line."""

    path: pathlib.Path
    units: str
    up: str
    repair: bool
    labels: str | None
    label_map: LabelMap | None
    require_colors: bool
    require_labels: bool
    voxel_size: float


@dataclasses.dataclass
class Report:
    """What was found in one file.

    extent: of the bounding box in the scene's frame; edge: median length of the faces' sides; unit: of both, metres
    unless the file's has no scale.
    labels: {id: vertices} of a mesh and {class index: vertices} of a scene file, None without labels.
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
    notes: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    error: str = ""

    def lines(self) -> list[str]:
        """As text: one line with the counts, then one for each finding."""
        size = f"{' x '.join(f'{length:.3g}' for length in self.extent)} {self.unit}"
        counts = f"{counted(self.vertices, 'vertex')}, {counted(self.faces, 'face')}"
        what = f"{counts}, {size}, median edge {self.edge:.3g} {self.unit}, {self._labels()}"
        head = [f"{self.file}: {what}"] if self.vertices else [f"{self.file}:"]
        marked = [("", self.notes), (WARNING, self.warnings), ("error: ", [self.error] if self.error else [])]
        return head + [f"  {mark}{text}" for mark, texts in marked for text in texts]

    def _labels(self) -> str:
        if self.labels is None:
            return "no labels"
        listed = [f"{id_} ({count})" for id_, count in list(self.labels.items())[:SHOWN_IDS]]
        return f"labels {', '.join(listed)}{' ...' if len(self.labels) > SHOWN_IDS else ''}"


def report_file(task: Task) -> Report:
    """Reads one mesh or scene file; an error that a file can cause is part of the report."""
    report = Report(str(task.path), unit="m" if METRES[task.units] else task.units)
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


def _check_mesh(task: Task, report: Report) -> None:
    """Fills in the report of a mesh file; raises MeshError where preprocessing would."""
    path = task.path
    if path.name.endswith(LABELS_SUFFIX):
        beside = f"no mesh {path.name.removesuffix(LABELS_SUFFIX)}.* lies beside it"
        raise MeshError(path, beside, "Name the mesh and its label file alike, or remove the label file.")
    mesh = read_mesh(path, task.units, task.up, task.repair, task.labels)
    _describe(report, mesh, mesh.labels, mesh.colors is not None)
    check_required(path, mesh, task.require_colors, task.require_labels)
    require_extent(mesh.vertices, task.voxel_size)
    if mesh.labels is not None:
        _check_labels(mesh, task.label_map, report)


def _check_labels(mesh: Mesh, label_map: LabelMap | None, report: Report) -> None:
    """Ids against the map, or against what any map can have; raises MeshError where preprocessing would."""
    labelled = mesh.labels != UNLABELLED
    impossible = labelled & ((mesh.labels < 0) | (mesh.labels > LARGEST_ID))
    if not labelled.any():
        report.warnings.append(f"all labels are {UNLABELLED}, which means unlabelled")
    elif label_map is not None:
        notes: list[str] = []
        mesh_classes(mesh, label_map, notes)
        _sort(notes, report)
    elif impossible.sum() > MAX_UNKNOWN * labelled.sum():
        listed = ", ".join(str(id_) for id_ in np.unique(mesh.labels[impossible])[:SHOWN_IDS])
        cause = f"{impossible.sum()} of {labelled.sum()} labelled vertices have ids that are none: {listed}"
        raise MeshError(mesh.labels_file, cause, f"Ids are 1 to {LARGEST_ID}; {UNLABELLED} means unlabelled.")


def _check_scene(scene: Scene, report: Report) -> None:
    """Fills in the report of a scene file, whose checksums, version and arrays were checked in reading."""
    units = scene.params.get("units", "m")
    report.unit = "m" if METRES.get(units) else units
    _describe(report, scene, scene.labels, scene.has_colors)
    levels = ", ".join(str(len(vertices)) for vertices in scene.level_vertices)
    voxels = len(scene.voxels.coords[0])
    report.notes.append(f"scene file: levels of {levels} vertices, {counted(voxels, 'voxel')}")


def _describe(report: Report, mesh: Mesh | Scene, labels: np.ndarray | None, colors: bool) -> None:
    report.vertices, report.faces, report.colors = len(mesh.vertices), len(mesh.faces), colors
    report.extent = tuple(float(length) for length in np.ptp(mesh.vertices, axis=0))
    report.edge = median_edge(mesh)
    if labels is not None:
        report.labels = {int(id_): int(count) for id_, count in zip(*np.unique(labels, return_counts=True))}
    _sort(mesh.notes, report)


def _sort(notes: list[str], report: Report) -> None:
    """Notes to the report's notes and warnings."""
    report.notes += [note for note in notes if not note.startswith(WARNING)]
    report.warnings += [note.removeprefix(WARNING) for note in notes if note.startswith(WARNING)]
