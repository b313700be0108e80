"""All kernels by name: `call` calls them from JAX, and compiles and registers each when it is first called."""

import ctypes
import functools
import threading
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from kernels.cpu_ffi.loops import attention, dense_conv, simd, sparse_conv, weighted_sums
from kernels.cpu_ffi.runtime import thread_pool

KERNELS = {
    "gather_gemm": sparse_conv.multiply,
    "slot_gemm": sparse_conv.multiply,
    "gather_outer": sparse_conv.sum_outer,
    "edge_dots": attention.dots,
    "edge_sums": attention.sums,
    "table_sums": weighted_sums.table_sums,
    "segment_sums": weighted_sums.segment_sums,
    "dense_conv": dense_conv.convolve,
    "dense_outer": dense_conv.sum_outer,
}
TARGETS = {name: f"kernels_cpu_{name}_{simd.LANES}" for name in KERNELS}
"""The kernels' FFI targets. A program for vectors of another width finds none."""

_lock = threading.RLock()  # Numba's compiler has one too; this one keeps a target from being registered twice


def register(name: str) -> None:
    """Compiles a kernel, or reads it from Numba's cache, and registers its FFI target, unless that has been done.

    `call` does it. A program that was traced by another process needs it before it runs.
    """
    with _lock:
        _register(name)


@functools.cache
def _register(name: str) -> None:
    thread_pool.WORKS[list(KERNELS).index(name)] = KERNELS[name].address
    handler = jax.ffi.pycapsule(ctypes.c_void_p(thread_pool.handle.address))
    jax.ffi.register_ffi_target(TARGETS[name], handler, platform="cpu")


def call(
    name: str, shapes: Sequence[tuple[int, ...]], operands: tuple[jax.Array, ...], items: int, *plan: int
) -> list[jax.Array]:
    """The results of one kernel, float32 [*shape] for each of `shapes`.

    Args:
        name: a key of `KERNELS`.
        shapes: of its results.
        operands: arrays in the order in which the kernel reads them.
        items: number of independent parts of the work.
        *plan: further numbers that the kernel reads.
    """
    register(name)
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    target = jax.ffi.ffi_call(TARGETS[name], results, vmap_method="sequential")
    return target(*operands, plan=np.array((list(KERNELS).index(name), items, *plan), np.int64))


def whole_vectors(array: jax.Array) -> jax.Array:
    """`array` [..., C] with zero columns up to a multiple of the vector width `simd.LANES`."""
    missing = -array.shape[-1] % simd.LANES
    return jnp.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)]) if missing else array
