"""The tables of one synthetic room, padded, for timing kernels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from kernels.host.batch.padding import join_corners, join_neighbours, join_rings
from kernels.host.mesh.rings import one_ring, ring_table
from kernels.host.tables import Rings, Trilinear
from kernels.host.voxel.trilinear import trilinear_table
from kernels.host.voxel.voxels import build_pyramid, unique_voxels
from preprocess.rooms import make_room


class KernelInputs(NamedTuple):
    """Padded tables of a room, the voxels' by level; `voxels` and `vertices` are the numbers of real rows.

    Attributes:
        neighbours: int32 [P_l, 27].
        keep: bool [V * K + O], the existing edges.
        corners: of the vertices, in level 0.
    """

    voxels: tuple[int, ...]
    neighbours: tuple[np.ndarray, ...]
    vertices: int
    rings: Rings
    keep: jax.Array
    corners: Trilinear

    def random_rows(self, rng: np.random.Generator, rows: int, real: int, channels: int) -> jax.Array:
        """float32 [rows, channels], normal in the first `real` rows and zero after them."""
        values = rng.standard_normal((rows, channels), np.float32)
        values[real:] = 0
        return jnp.asarray(values)


def room_inputs(resolution: float) -> KernelInputs:
    """A room whose edges and voxels are `resolution` metres long."""
    room = make_room(0, resolution)
    points = (room.vertices - room.vertices.min(0)) / resolution
    pyramid = build_pyramid(unique_voxels(points).coords)
    voxels = tuple(len(c) for c in pyramid.coords)
    rows = [-(-(n + 1) // 512) * 512 for n in voxels]
    vertices = len(points)
    vertex_rows = -(-(vertices + 1) // 512) * 512
    table = ring_table(one_ring(room.faces, vertices))
    joined = join_rings([table], vertex_rows, len(table.overflow_target) + 1)
    corners, weights = trilinear_table(points, pyramid.coords[0], 0)
    padded = join_corners([corners], [weights], [voxels[0]], vertex_rows, rows[0])
    real = np.concatenate([(joined.ring != vertex_rows - 1).ravel(), joined.overflow_target != vertex_rows - 1])
    return KernelInputs(
        voxels,
        tuple(join_neighbours([t], r) for t, r in zip(pyramid.neighbours, rows)),
        vertices,
        jax.tree.map(jnp.asarray, joined._replace(degree=None)),
        jnp.asarray(real),
        jax.tree.map(jnp.asarray, padded),
    )
