"""Padded tables and random rows, as the cases of the kernels need them, and the files by which the peers get theirs."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.data import FOLDER, open_inputs
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
    with np.load(open_inputs(data).voxels) as file:
        coords = file["l0"]
    return build_pyramid(coords[morton_order(coords)])


def exchange(name: str, **arrays: np.ndarray) -> str:
    """Writes `arrays` [...] for the peer's case; returns the path."""
    path = exchange_path(name)
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def exchange_path(name: str) -> str:
    """Where `exchange` puts it."""
    return str(FOLDER / "exchange" / f"{name}.npz")
