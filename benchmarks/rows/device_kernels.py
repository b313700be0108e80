"""Sparse convolution, one-ring attention and trilinear read-out against torch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.data import read_room
from benchmarks.harness.rows import TimeRow, both
from benchmarks.harness.tables import exchange, pad, padded, random_rows, voxel_pyramid
from benchmarks.harness.worker import Case
from kernels.device.attention.api import one_ring_attention
from kernels.device.sparse_conv.api import submanifold_conv
from kernels.device.trilinear import trilinear_read_out
from kernels.host.batch.padding import join_corners, join_neighbours, join_rings
from kernels.host.mesh.clustering import cluster_vertices
from kernels.host.mesh.rings import edge_targets_sources, one_ring, ring_table
from kernels.host.voxel.trilinear import trilinear_table
from kernels.host.voxel.voxels import unique_voxels

LIBRARIES = ("jax", "numba", "numpy")
CELL, VOXEL = 0.035, 0.02
"""Metres. Clustering by CELL leaves the room about 60,000 vertices."""
WIDTH = 32


def _convolution_row(level: int, channels: int, backward: bool, **bars: float) -> TimeRow:
    return TimeRow(
        f"3x3x3 convolution, level {level}, {channels} channels, forward{' and backward' if backward else ''}",
        "torch, gather-GEMM-scatter by offset",
        *both("device_kernels", "convolution", level=level, channels=channels, backward=backward),
        **bars,
    )


ROWS = (
    _convolution_row(0, 32, False, required=4.5, aim=5.5, quoted=0.089),
    _convolution_row(0, 32, True, required=4.0, aim=4.8, quoted=0.190),
    _convolution_row(2, 96, False, required=1.8, aim=2.5, quoted=0.0194),
    _convolution_row(2, 96, True, required=1.8, aim=2.4, quoted=0.0625),
    TimeRow(
        "one-ring attention, 32 channels, forward and backward",
        "torch, edge list",
        *both("device_kernels", "attention"),
        required=4.0,
        aim=6.0,
        quoted=0.304,
    ),
    TimeRow(
        "trilinear read-out, 32 channels, forward and backward",
        "torch, gather or embedding_bag",
        *both("device_kernels", "read_out"),
        quoted=0.111,
    ),
)


def _case(
    function: Callable, operands: tuple, cotangent: jax.Array, rows: dict[str, int | None], backward: bool, **notes: int
) -> Case:
    """`function` of padded operands, `backward` also their gradients; of each output by name `rows` are compared."""

    @jax.jit
    def apply(operands, cotangent):
        if not backward:
            return (function(*operands),)
        y, pull = jax.vjp(function, *operands)
        return y, *pull(cotangent)

    return Case(
        lambda: jax.block_until_ready(apply(operands, cotangent)),
        lambda out: {name: np.asarray(value)[: rows[name]] for name, value in zip(rows, out)},
        notes,
    )


def convolution(data: str, level: int, channels: int, backward: bool, method: str | None = None) -> Case:
    """One convolution; `backward` also the gradients of x and of the kernel for a given cotangent."""
    neighbours = voxel_pyramid(data).neighbours[level]
    rows = len(neighbours)
    x, cotangent = random_rows(0, rows, channels), random_rows(1, rows, channels)
    kernel = np.random.default_rng(2).standard_normal((27, channels, channels), np.float32) / (27 * channels) ** 0.5
    exchange("convolution", neighbours=neighbours, x=x, cotangent=cotangent, kernel=kernel)
    table = jnp.asarray(join_neighbours([neighbours], padded(rows)))
    return _case(
        lambda x, kernel: submanifold_conv(x, kernel, table, method=method),
        (pad(x), jnp.asarray(kernel)),
        pad(cotangent),
        {"y": rows, "dx": rows, "dw": None},
        backward=backward,
        voxels=rows,
        pairs=int((neighbours >= 0).sum()),
    )


def attention(data: str, backward: bool = True, method: str | None = None) -> Case:
    """Attention over the room's one-rings, and the gradients of query, key and value for a given cotangent."""
    room = read_room(data)
    mesh = cluster_vertices(room.vertices, room.faces, CELL)
    vertices = len(mesh.vertices)
    table = ring_table(one_ring(mesh.faces, vertices))
    target, source, valid = edge_targets_sources(table)
    order = np.argsort(target[valid], kind="stable")
    arrays = {name: random_rows(i, vertices, WIDTH) for i, name in enumerate(("query", "key", "value", "cotangent"))}
    exchange("attention", target=target[valid][order], source=source[valid][order], **arrays)
    joined = join_rings([table], padded(vertices), len(table.overflow_target) + 1)
    rings = jax.tree.map(jnp.asarray, joined._replace(degree=None))
    *operands, cotangent = map(pad, arrays.values())
    return _case(
        lambda query, key, value: one_ring_attention(query, key, value, rings, method=method),
        tuple(operands),
        cotangent,
        dict.fromkeys(("y", "dq", "dk", "dv"), vertices),
        backward=backward,
        vertices=vertices,
        edges=int(valid.sum()),
    )


def read_out(data: str, backward: bool = True, method: str | None = None) -> Case:
    """Voxel features at the vertices of the clustered room, and their gradient for a given cotangent."""
    room = read_room(data)
    origin = room.vertices.min(0)
    coords = unique_voxels((room.vertices - origin) / VOXEL).coords
    points = (cluster_vertices(room.vertices, room.faces, CELL).vertices - origin) / VOXEL
    corners, weights = trilinear_table(points, coords, 0)
    vertices, voxels = len(points), len(coords)
    x, cotangent = random_rows(0, voxels, WIDTH), random_rows(1, vertices, WIDTH)
    exchange("trilinear", corners=corners, weights=weights, x=x, cotangent=cotangent)
    table = jax.tree.map(jnp.asarray, join_corners([corners], [weights], [voxels], padded(vertices), padded(voxels)))
    return _case(
        lambda x: trilinear_read_out(x, table, method=method),
        (pad(x),),
        pad(cotangent),
        {"y": vertices, "dx": voxels},
        backward=backward,
        vertices=vertices,
        voxels=voxels,
    )
