"""Padded tables and random rows, as the cases of the kernels need them, and the files by which the peers get theirs."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.data import open_inputs
from benchmarks.harness.worker import EXCHANGE, read_arrays
from kernels.host.voxel.morton import morton_order
from kernels.host.voxel.voxels import VoxelPyramid, build_pyramid

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


def exchange(name: str, **arrays: np.ndarray) -> None:
    """Writes `arrays` [...] for the peer's case, which reads them with `worker.read_exchange`."""
    EXCHANGE.mkdir(parents=True, exist_ok=True)
    np.savez(EXCHANGE / f"{name}.npz", **arrays)
