"""A checked triangle mesh, what a reader hands over before the checks, and the error that both raise."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from kernels.host.jit import compiled
from preprocess.mesh.up_axis import UpEstimate
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


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted vertex normals.

    Args:
        vertices: float64 [V, 3].
        faces: integer [F, 3], counter-clockwise seen from outside.

    Returns:
        float32 [V, 3] of unit length; zero where the faces around a vertex cancel or where there is none.
    """
    sums = np.zeros(vertices.shape)
    _add_face_areas(np.asarray(vertices, np.float64), np.asarray(faces), sums)
    length = np.sqrt(np.einsum("vc,vc->v", sums, sums))[:, None]
    return np.divide(sums, length, out=np.zeros_like(sums), where=length > 0).astype(np.float32)


@compiled
def _add_face_areas(vertices, faces, sums):
    """Adds twice the area vector of each face to its corners."""
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        for corner in (a, b, c):
            sums[corner, 0] += uy * vz - uz * vy
            sums[corner, 1] += uz * vx - ux * vz
            sums[corner, 2] += ux * vy - uy * vx


class Weld(NamedTuple):
    """Merged vertices. Exporters split vertices along seams; those at exactly the same place are one of the surface.

    Attributes:
        first: int32 [U], ascending, the lowest input row of each distinct position.
        inverse: int32 [V], the welded row of each input row, so that vertices == vertices[first][inverse].
    """

    first: np.ndarray
    inverse: np.ndarray


def weld(vertices: np.ndarray) -> Weld:
    """Merges rows with equal coordinates; -0.0 equals 0.0 and nothing else is rounded.

    Welded rows are numbered by their first appearance.

    Args:
        vertices: float64 [V, 3], finite.
    """
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ValueError(f"vertices must have shape [V, 3], not {list(vertices.shape)}")
    # Adding 0.0 turns -0.0 into 0.0, after which equal numbers have equal bits.
    bits = np.ascontiguousarray(vertices.astype(np.float64, copy=False) + 0.0).view(np.uint64)
    capacity = 1 << max(int(2 * len(bits)), 2).bit_length()
    slots = np.full(capacity, -1, np.int32)
    first, inverse = np.empty(len(bits), np.int32), np.empty(len(bits), np.int32)
    count = _weld(bits, slots, first, inverse)
    return Weld(first[:count].copy(), inverse)


@compiled
def _weld(bits, slots, first, inverse):
    """Open addressing with linear probing; the load stays under one half."""
    mask = np.uint64(len(slots) - 1)
    one, shift = np.uint64(1), np.uint64(29)
    mix = np.uint64(0x9E3779B97F4A7C15)
    count = 0
    for row in range(len(bits)):
        key = bits[row, 0] * mix
        key = (key ^ (key >> shift) ^ bits[row, 1]) * mix
        key = (key ^ (key >> shift) ^ bits[row, 2]) * mix
        slot = (key ^ (key >> shift)) & mask
        while True:
            found = slots[slot]
            if found < 0:
                slots[slot] = count
                first[count] = row
                inverse[row] = count
                count += 1
                break
            other = first[found]
            if bits[other, 0] == bits[row, 0] and bits[other, 1] == bits[row, 1] and bits[other, 2] == bits[row, 2]:
                inverse[row] = found
                break
            slot = (slot + one) & mask
    return count
