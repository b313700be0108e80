"""The arrays of a batch of scenes: what the network, the loss and the metrics read.

All arrays are padded to static shapes. Real rows come first; an index to nothing is the last row of the array that it
points into, which is always padding (see docs/layout.md). Level 0 is the finest of L.
"""

import dataclasses

import jax

from kernels.host.tables import Rings, Trace, Trilinear


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MeshGraph:
    """One mesh level of a batch as the attention layers see it."""

    rings: Rings  # the one-ring of every vertex
    keep: jax.Array  # bool [V * K + O], by flat edge id: the edge exists and takes part
    scene: jax.Array  # int32 [V], which scene a vertex belongs to, ascending; num_scenes in padding rows
    num_scenes: int = dataclasses.field(metadata={"static": True})  # B

    @property
    def real(self) -> jax.Array:
        """bool [V, 1], False in padding rows."""
        return (self.scene < self.num_scenes)[:, None]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SceneBatch:
    """B scenes, one after the other, joined into one set of voxels and one mesh at each of L levels.

    Attributes:
        features: float [P_0, F], what a voxel of level 0 starts with (its colour).
        voxel_count: int32 [L], real voxel rows at each level.
        neighbours: L x int32 [P_l, 27], rows of the voxels around, x fastest.
        children: (L - 1) x int32 [P_{l+1}, 8], rows of level l, z fastest.
        slots: (L - 1) x int32 [P_l], `parent row in level l+1 * 8 + octant`.
        voxel_labels: int32 [P_0], class, -1 where ignored and in padding.
        vertex_count: int32 [L], real mesh vertices at each level.
        vertex_scene: L x int32 [V_l], which scene a vertex belongs to, ascending; B in padding rows.
        rings: L x Rings, the one-ring of every vertex, K slots and O_l overflow edges.
        keep: L x bool [V_l * K + O_l], by flat edge id: the edge exists and was kept by the sampling.
        corners: L x Trilinear, from voxel level l to mesh level l.
        traces: (L - 1) x Trace, from mesh level l to mesh level l+1.
        vertex_labels: int32 [V_0], class, -1 where ignored and in padding.
        num_scenes: B, static.
        vertex_features: float [V_0, F], what a vertex of level 0 starts with; None where the network starts at voxels.
        radius_rings: Rings of each of the finest levels that the network reads: its vertices' neighbours in space.
        radius_edge_mask: bool [V_l * K], as `keep`, of `radius_rings`.
    """

    features: jax.Array
    voxel_count: jax.Array
    neighbours: tuple[jax.Array, ...]
    children: tuple[jax.Array, ...]
    slots: tuple[jax.Array, ...]
    voxel_labels: jax.Array
    vertex_count: jax.Array
    vertex_scene: tuple[jax.Array, ...]
    rings: tuple[Rings, ...]
    keep: tuple[jax.Array, ...]
    corners: tuple[Trilinear, ...]
    traces: tuple[Trace, ...]
    vertex_labels: jax.Array
    num_scenes: int = dataclasses.field(metadata={"static": True})
    vertex_features: jax.Array | None = None
    radius_rings: tuple[Rings, ...] = ()
    radius_edge_mask: tuple[jax.Array, ...] = ()

    def graph(self, level: int) -> MeshGraph:
        """The mesh of a level."""
        return MeshGraph(self.rings[level], self.keep[level], self.vertex_scene[level], self.num_scenes)

    def radius_graph(self, level: int) -> MeshGraph:
        """The vertices of a level, joined to those near in space."""
        rings, mask = self.radius_rings[level], self.radius_edge_mask[level]
        return MeshGraph(rings, mask, self.vertex_scene[level], self.num_scenes)
