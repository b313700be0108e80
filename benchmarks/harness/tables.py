"""Padded tables and random rows, as the cases of the kernels need them, and the files by which the peers get theirs."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.data import open_inputs
from benchmarks.harness.worker import EXCHANGE, read_arrays
from kernels.host.batch.padding import join_corners, join_neighbours, join_rings
from kernels.host.mesh.rings import one_ring, ring_table
from kernels.host.tables import Rings, Trilinear
from kernels.host.voxel.morton import morton_order
from kernels.host.voxel.trilinear import trilinear_table
from kernels.host.voxel.voxels import VoxelPyramid, build_pyramid, unique_voxels
from preprocess.rooms import make_room

BLOCK = 512


def padded(rows: int) -> int:
    """Rows of an array that holds `rows` real ones: a multiple of 512, and at least one row more."""
    return -(-(rows + 1) // BLOCK) * BLOCK


def random_rows(seed: int, real: int, channels: int) -> np.ndarray:
    """float32 [real, channels], normal."""
    return np.random.default_rng(seed).standard_normal((real, channels), np.float32)


def pad(rows: np.ndarray) -> jax.Array:
    """`rows` [N, C] with zero rows behind, [padded(N), C]."""
    return jnp.zeros((padded(len(rows)), rows.shape[1]), rows.dtype).at[: len(rows)].set(rows)


def voxel_pyramid(data: str) -> VoxelPyramid:
    """Seven levels of the room's voxels."""
    coords = read_arrays(open_inputs(data).voxels)["l0"]
    return build_pyramid(coords[morton_order(coords)])


def join_one(table: Rings, rows: int) -> Rings:
    """The one-rings of one mesh, padded to `rows` vertices, on the device."""
    joined = join_rings([table], rows, len(table.overflow_target) + 1)
    return jax.tree.map(jnp.asarray, joined._replace(degree=None))


def exchange(name: str, **arrays: np.ndarray) -> None:
    """Writes `arrays` [...] for the peer's case, which gets them by `worker.read_exchange`."""
    EXCHANGE.mkdir(parents=True, exist_ok=True)
    np.savez(EXCHANGE / f"{name}.npz", **arrays)


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


def room_inputs(resolution: float) -> KernelInputs:
    """A room whose edges and voxels are `resolution` metres long."""
    room = make_room(0, resolution)
    points = (room.vertices - room.vertices.min(0)) / resolution
    pyramid = build_pyramid(unique_voxels(points).coords)
    voxels, vertices = tuple(map(len, pyramid.coords)), len(points)
    rows = padded(vertices)
    rings = join_one(ring_table(one_ring(room.faces, vertices)), rows)
    corners, weights = trilinear_table(points, pyramid.coords[0], 0)
    joined = join_corners([corners], [weights], [voxels[0]], rows, padded(voxels[0]))
    return KernelInputs(
        voxels,
        tuple(join_neighbours([table], padded(count)) for table, count in zip(pyramid.neighbours, voxels)),
        vertices,
        rings,
        jnp.concatenate([(rings.ring != rows - 1).ravel(), rings.overflow_target != rows - 1]),
        jax.tree.map(jnp.asarray, joined),
    )
