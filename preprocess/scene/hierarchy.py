"""The mesh hierarchy: vertex clustering for the fine levels, quadric edge collapse for the coarse ones."""

import dataclasses
import math
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from kernels.host.mesh.clustering import cluster_vertices
from kernels.host.mesh.rings import one_ring, ring_table
from kernels.host.simplify.decimate import decimate
from kernels.host.tables import Rings
from preprocess.labels.label_map import IGNORED
from preprocess.mesh.mesh import Mesh, weld

LEVELS = 7
PLACEMENTS = ("half_edge", "optimal")
LEVEL0_LABELS = ("nearest", "majority")
HIERARCHIES = ("vc+qem", "vc", "qem")


@dataclasses.dataclass(frozen=True)
class HierarchyParams:
    """How a mesh becomes levels and voxels. Lengths are in the mesh's unit: metres unless it was read otherwise.

    Attributes:
        cells: edges of the clustering cells, one level each, finest first.
        quadric_levels: number of levels after them; cells and quadric levels make 7.
        ratio: faces that each quadric level keeps of the level before.
        placement: "half_edge" (coarse vertices are a subset of the finer ones) or "optimal" (the quadric's minimum).
        ring_width: slots of the one-ring tables; further neighbours go to the overflow list.
        voxel_size: edge of a voxel at the finest level.
        level0_labels: "nearest" original vertex, or "majority" of the vertices that fall into a level-0 vertex.
    """

    cells: tuple[float, ...] = (0.02, 0.04)
    quadric_levels: int = 5
    ratio: float = 0.3
    placement: str = "half_edge"
    ring_width: int = 16
    voxel_size: float = 0.02
    level0_labels: str = "nearest"

    def __post_init__(self):
        object.__setattr__(self, "cells", tuple(float(cell) for cell in self.cells))
        if len(self.cells) + self.quadric_levels != LEVELS or self.quadric_levels < 0:
            counts = f"{len(self.cells)} clustering cells and {self.quadric_levels} quadric levels"
            raise ValueError(f"the hierarchy has {LEVELS} levels, not {counts}")
        lengths = [*self.cells, self.voxel_size]
        if not all(math.isfinite(length) and length > 0 for length in lengths):
            raise ValueError(f"cells and voxel_size must be positive, they are {lengths}")
        if list(self.cells) != sorted(set(self.cells)):
            raise ValueError(f"cells must grow from level to level, they are {list(self.cells)}")
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio must be between 0 and 1, it is {self.ratio}")
        if self.ring_width < 1:
            raise ValueError(f"ring_width must be at least 1, it is {self.ring_width}")
        if self.placement not in PLACEMENTS:
            raise ValueError(f"placement must be one of {PLACEMENTS}, it is {self.placement!r}")
        if self.level0_labels not in LEVEL0_LABELS:
            raise ValueError(f"level0_labels must be one of {LEVEL0_LABELS}, it is {self.level0_labels!r}")

    def to_dict(self) -> dict:
        """Plain values, as JSON gives them back."""
        return {**dataclasses.asdict(self), "cells": list(self.cells)}

    @classmethod
    def from_dict(cls, params: dict) -> "HierarchyParams":
        """The parameters in a `to_dict` or in a scene file's params, whose other entries are ignored."""
        return cls(**{field.name: params[field.name] for field in dataclasses.fields(cls)})


def plan_levels(hierarchy: str, cells: tuple[float, ...], ratio: float) -> tuple[tuple[float, ...], int]:
    """Clustering cells and number of quadric levels of one of `HIERARCHIES`.

    "vc+qem": the cells given, then quadric levels. "vc": clustering at all levels; after the cells given they grow by
    `ratio ** -0.5`, which leaves about the share of the faces that a quadric level keeps. "qem": quadric levels only.
    """
    if hierarchy == "qem":
        return (), LEVELS
    if hierarchy == "vc+qem":
        return cells, LEVELS - len(cells)
    more = range(1, LEVELS - len(cells) + 1)
    return (*cells, *(cells[-1] * ratio ** (-0.5 * step) for step in more)), 0


class Hierarchy(NamedTuple):
    """Seven levels, finest first, with the names and shapes of `scene_file.Scene`.

    Vertices are float64 [V_l, 3], faces int32 [F_l, 3]. Traces, int32 [V] and [V_{l-1}], are total and surjective.
    Clustering levels always reach their number of faces.
    """

    level_vertices: tuple[np.ndarray, ...]
    level_faces: tuple[np.ndarray, ...]
    rings: tuple[Rings, ...]
    traces: tuple[np.ndarray, ...]
    reached: tuple[bool, ...]


def build_hierarchy(mesh: Mesh, params: HierarchyParams) -> Hierarchy:
    """Welds equal positions, then simplifies step by step (VMNet, section 3.2: VC for the first levels, then QEM)."""
    welded = weld(mesh.vertices)
    vertices, faces = mesh.vertices[welded.first], welded.inverse[mesh.faces]
    levels = []

    def rings(faces: np.ndarray, num_vertices: int) -> Rings:
        return ring_table(one_ring(faces, num_vertices), params.ring_width)

    with ThreadPoolExecutor(1) as pool:  # a level's rings while the next one is made
        for level in range(LEVELS):
            if level < len(params.cells):
                coarse, reached = cluster_vertices(vertices, faces, params.cells[level]), True
            else:
                target = max(round(params.ratio * len(faces)), min(len(faces), 1))
                coarse = decimate(vertices, faces, target, placement=params.placement)
                reached = coarse.reached
            vertices, faces = coarse.vertices, coarse.faces
            trace = coarse.trace if level else coarse.trace[welded.inverse]
            levels.append((vertices, faces, pool.submit(rings, faces, len(vertices)), trace, reached))
    hierarchy = Hierarchy(*zip(*levels))
    return hierarchy._replace(rings=tuple(table.result() for table in hierarchy.rings))


def level0_labels(
    rule: str, vertices: np.ndarray, labels: np.ndarray, level0_vertices: np.ndarray, trace: np.ndarray
) -> np.ndarray:
    """Labels of the level-0 vertices from the labels of the file's vertices.

    Args:
        rule: "nearest": label of the nearest file vertex (the lowest row of those at one place); "majority": the most
            frequent class among the file vertices that trace to it, the lowest on a tie, -1 only without any other.
        vertices: float64 [V, 3].
        labels: int32 [V] classes, -1 ignored.
        level0_vertices: float64 [V_0, 3].
        trace: int32 [V].

    Returns:
        int32 [V_0].
    """
    if rule == "nearest":
        from scipy.spatial import cKDTree  # SciPy's import takes longer than a mesh, and predictions need no labels

        first = weld(vertices).first
        return labels[first][cKDTree(vertices[first]).query(level0_vertices)[1]]
    known = labels != IGNORED
    classes = int(labels.max(initial=0)) + 1
    votes = np.bincount(trace[known] * np.int64(classes) + labels[known], minlength=len(level0_vertices) * classes)
    votes = votes.reshape(len(level0_vertices), classes)
    return np.where(votes.any(axis=1), votes.argmax(axis=1), IGNORED).astype(np.int32)
