"""A checked triangle mesh, what a reader hands over before the checks, and the error that both raise."""

from dataclasses import dataclass, field

import numpy as np

from preprocess.mesh.up_estimate import UpEstimate
from trainlib.core.errors import InputError


class MeshError(InputError):
    """A mesh or label file cannot be used."""


@dataclass
class RawMesh:
    """A mesh as read from a file, before any check.

    Attributes:
        vertices: float64 [V, 3], file order and file units.
        corners: int64 [sum(counts)], the vertex indices of all polygons, one polygon after the other.
        counts: int64 [F], corners of each polygon.
        colors: [V, 3] in the file's own number type, or None.
        labels: [V] raw ids in the file's own number type, or None.
        notes: the reader's notes for the report.
        first: number of the first vertex and face in the file's own way of counting, for messages.
        instead: what the file holds where it has no faces ("24 edges"), for the message.
        float32: whether the file declares its coordinates as numbers of 32 bits; False also if it does not declare it.
    """

    vertices: np.ndarray
    corners: np.ndarray
    counts: np.ndarray
    colors: np.ndarray | None = None
    labels: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    first: int = 0
    instead: str = ""
    float32: bool = False


@dataclass
class Mesh:
    """A triangle mesh whose vertices keep the order of its file.

    Attributes:
        vertices: float64 [V, 3], finite, z up; metres, or the file's own unit if it was read with units="none".
        faces: int32 [F, 3], indices into vertices.
        colors: uint8 [V, 3], or None where the file has none.
        normals: float32 [V, 3], unit length, area weighted over all faces that meet at the vertex's position; zero for
            a vertex without a face.
        labels: int32 [V] raw ids of the file, or None.
        labels_file: where they were read, for messages.
        notes: findings and what was done about them, one sentence each.
        up: the axis of the file that became z.
        up_estimate: of that axis, from the surface; None for a mesh of no file.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray | None
    normals: np.ndarray
    labels: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    labels_file: str = ""
    up: str = "z"
    up_estimate: UpEstimate | None = None
