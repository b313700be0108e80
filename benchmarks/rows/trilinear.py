"""Trilinear read-out against torch: python -m benchmarks.rows.trilinear"""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.data import read_room
from benchmarks.harness.command import main
from benchmarks.harness.pairs import Side
from benchmarks.harness.rows import TimeRow
from benchmarks.harness.tables import exchange, pad, padded, random_rows
from benchmarks.harness.worker import Case
from benchmarks.rows.attention import CELL, WIDTH
from kernels.device.trilinear import trilinear_read_out
from kernels.host.batch.padding import join_corners
from kernels.host.mesh.clustering import cluster_vertices
from kernels.host.voxel.trilinear import trilinear_table
from kernels.host.voxel.voxels import unique_voxels

LIBRARIES = ("jax", "numba", "numpy")
VOXEL = 0.02

ROWS = (
    TimeRow(
        "trilinear read-out, 32 channels, forward and backward",
        "torch, gather or embedding_bag",
        Side("benchmarks.rows.trilinear", "read_out"),
        Side("benchmarks.peer.trilinear", "read_out", peer=True),
        quoted=0.111,
    ),
)


def read_out(data: str) -> Case:
    """Voxel features at the vertices of the clustered room, and their gradient for a given cotangent."""
    room = read_room(data)
    origin = room.vertices.min(0)
    coords = unique_voxels((room.vertices - origin) / VOXEL).coords
    points = (cluster_vertices(room.vertices, room.faces, CELL).vertices - origin) / VOXEL
    corners, weights = trilinear_table(points, coords, 0)
    vertices, voxels = len(points), len(coords)
    x, cotangent = random_rows(0, voxels, WIDTH), random_rows(1, vertices, WIDTH)
    exchange("trilinear", corners=corners, weights=weights, x=x, cotangent=cotangent)
    table = join_corners([corners], [weights], [voxels], padded(vertices), padded(voxels))
    table = jax.tree.map(jnp.asarray, table)
    operands = pad(x), pad(cotangent)

    @jax.jit
    def apply(x, cotangent):
        y, pull = jax.vjp(lambda x: trilinear_read_out(x, table), x)
        return y, pull(cotangent)[0]

    return Case(
        lambda: jax.block_until_ready(apply(*operands)),
        lambda out: {"y": np.asarray(out[0])[:vertices], "dx": np.asarray(out[1])[:voxels]},
        {"vertices": vertices, "voxels": voxels},
    )


if __name__ == "__main__":
    main(ROWS, __doc__)
