"""Calls of the Numba kernels from JAX."""

import functools
from collections.abc import Sequence
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np


@functools.cache
def compiled() -> ModuleType:
    """`kernels.cpu_ffi.runtime.targets`: its first import compiles and registers all kernels.

    That takes half a second when Numba's cache is warm, so whoever does not use them does not wait.
    """
    from kernels.cpu_ffi.runtime import targets

    return targets


def call(
    name: str, shapes: Sequence[tuple[int, ...]], operands: tuple[jax.Array, ...], items: int, *plan: int
) -> list[jax.Array]:
    """The float32 results of one kernel.

    Args:
      name: one of `kernels.cpu_ffi.runtime.thread_pool.KERNELS`.
      shapes: of its results.
      operands: arrays in the order in which the kernel reads them.
      items: number of independent parts of the work.
      plan: further numbers that the kernel reads.
    """
    number = compiled().thread_pool.KERNELS.index(name)
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    target = jax.ffi.ffi_call(compiled().thread_pool.PREFIX + name, results, vmap_method="sequential")
    return target(*operands, plan=np.array((number, items, *plan), np.int64))


def whole_vectors(array: jax.Array) -> jax.Array:
    """`array` with zero columns up to a multiple of the vector width."""
    missing = -array.shape[-1] % compiled().LANES
    return jnp.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)]) if missing else array
