"""Vertices and triangles of the meshes of a glTF 2.0 file."""

import collections
from dataclasses import dataclass

import numpy as np

from preprocess.formats.gltf.accessors import COMPRESSIONS, WITHOUT_COMPRESSION, Accessors
from preprocess.formats.gltf.document import Document, Entry, GltfError
from trainlib.core.text import pluralize

_DRACO = "KHR_draco_mesh_compression"
_TRIANGLES, _FAN = 4, 6
"""Values of `mode`; below are points and lines, between them is the strip (glTF 2.0, 5.24)."""


@dataclass(frozen=True)
class Primitive:
    """Triangles of a mesh.

    Attributes:
        entry: its object.
        vertices: number of its vertices.
        corners: three for each of its triangles.
    """

    entry: Entry
    vertices: int
    corners: int


class MeshReader:
    """Reads meshes.

    Args:
        document: the JSON part.
        accessors: its arrays.

    Attributes:
        left_out: how many primitives are "of lines", "of points" or "without POSITION".
    """

    def __init__(self, document: Document, accessors: Accessors):
        self._document, self._accessors = document, accessors
        self.left_out: collections.Counter[str] = collections.Counter()

    def primitives(self, mesh: int) -> list[Primitive]:
        """The primitives of a mesh that are triangles; others are counted in `left_out`. Nothing is allocated yet."""
        found = []
        for entry in self._document.all("meshes")[mesh].entries("primitives", "primitive"):
            mode, attributes = entry.integer("mode", _TRIANGLES), entry.entry("attributes")
            if mode > _FAN:
                raise GltfError(f"{entry.place}: mode {mode} is none of 0 to {_FAN}")
            if mode < _TRIANGLES or "POSITION" not in attributes:
                kind = "of points" if mode == 0 else "of lines" if mode < _TRIANGLES else "without POSITION"
                self.left_out[kind] += 1
            else:
                found.append(self._primitive(entry, mode))
        return found

    def _primitive(self, entry: Entry, mode: int) -> Primitive:
        position = self._document.named("accessors", entry.entry("attributes"), "POSITION")
        indices = self._document.named("accessors", entry, "indices") if "indices" in entry else position
        packed = entry.extension(_DRACO) is not None
        if packed and not (self._accessors.has_data(position) and self._accessors.has_data(indices)):
            raise GltfError(f"{entry.place} has {COMPRESSIONS[_DRACO]} ({_DRACO}), not read", WITHOUT_COMPRESSION)
        vertices, corners = self._accessors.count(position), self._accessors.count(indices)
        return Primitive(entry, vertices, corners if mode == _TRIANGLES else 3 * max(corners - 2, 0))

    def read(self, mesh: int, primitives: list[Primitive], weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """A mesh in its own frame.

        Args:
            mesh: its number.
            primitives: of it, as `primitives` returns them.
            weights: of its morph targets, float64 [T]; None for the mesh's own.

        Returns:
            vertices float64 [V, 3], one primitive after the other, and triangles int64 [F, 3].
        """
        weights = self._document.all("meshes")[mesh].numbers("weights") if weights is None else weights
        vertices, triangles, start = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
        for primitive in primitives:
            vertices.append(self._positions(primitive, weights))
            triangles.append(self._triangles(primitive) + start)
            start += primitive.vertices
        return np.concatenate(vertices), np.concatenate(triangles)

    def _positions(self, primitive: Primitive, weights: np.ndarray) -> np.ndarray:
        """Float64 [V, 3]: POSITION and, times their weights, the morph targets'."""
        positions = self._vectors(primitive.entry.entry("attributes")).astype(np.float64)
        for weight, target in zip(weights, primitive.entry.entries("targets", "target")):
            if weight and "POSITION" in target:
                moves = self._vectors(target)
                if len(moves) != len(positions):
                    raise GltfError(f"{target.place} moves {len(moves)} of {pluralize(len(positions), 'vertex')}")
                positions += weight * moves
        return positions

    def _vectors(self, attributes: Entry) -> np.ndarray:
        return self._accessors.read(self._document.named("accessors", attributes, "POSITION"), ("VEC3",))

    def _triangles(self, primitive: Primitive) -> np.ndarray:
        """Vertex numbers of the primitive's triangles, int64 [F, 3] (glTF 2.0, 3.7.2.1)."""
        entry, mode = primitive.entry, primitive.entry.integer("mode", _TRIANGLES)
        rows = self._rows(primitive)
        if mode == _TRIANGLES:
            if len(rows) % 3:
                raise GltfError(f"{entry.place} has {len(rows)} corners, which make no whole number of triangles")
            return rows.reshape(-1, 3)
        if mode == _FAN:
            return np.stack([rows[1:-1], rows[2:], np.broadcast_to(rows[:1], rows[2:].shape)], axis=1)
        triangles = np.stack([rows[:-2], rows[1:-1], rows[2:]], axis=1)
        triangles[1::2] = triangles[1::2][:, [0, 2, 1]]
        return triangles

    def _rows(self, primitive: Primitive) -> np.ndarray:
        """The vertices in the order in which they are drawn, int64 [N]."""
        if "indices" not in primitive.entry:
            return np.arange(primitive.vertices)
        accessor = self._document.named("accessors", primitive.entry, "indices")
        rows = self._accessors.read_indices(accessor).astype(np.int64)
        if len(rows) and rows.max() >= primitive.vertices:
            cause = f"names vertex {rows.max()}, but its vertices are 0 to {primitive.vertices - 1}"
            raise GltfError(f"{primitive.entry.place} {cause}", "The file is damaged; export it again.")
        return rows


def vertex_count(primitives: list[Primitive]) -> int:
    """Vertices of all these primitives."""
    return sum(primitive.vertices for primitive in primitives)


def corner_count(primitives: list[Primitive]) -> int:
    """Triangle corners of all these primitives."""
    return sum(primitive.corners for primitive in primitives)
