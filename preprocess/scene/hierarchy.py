"""The mesh hierarchy: vertex clustering for the fine levels, quadric edge collapse for the coarse ones."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from kernels.host.mesh.clustering import cluster_vertices
from kernels.host.mesh.rings import one_ring, ring_table
from kernels.host.simplify.decimate import decimate
from kernels.host.tables import Rings
from preprocess.labels.label_map import IGNORED
from preprocess.mesh.mesh import Mesh
from preprocess.mesh.weld import weld
from preprocess.scene.params import LEVELS, HierarchyParams


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
