"""The products of `kernels.device.sparse_conv.xla` through the Numba kernels.

Arguments and results are the same, float32 and int32 only, on CPU. An absent entry,
the last row of the source or anything beyond it, adds nothing.
"""

import chex
import jax
import jax.numpy as jnp

from kernels.cpu_ffi.runtime.calls import call, compiled, whole_vectors

MIN_ITEMS = 32
"""Where there are fewer tiles, columns or taps are shared out as well."""
PART_ROWS = 4096
MAX_PARTS = 16
"""Rows per partial sum of the outer product, and the largest number of those."""


def _multiply(name: str, source: jax.Array, kernel: jax.Array, table: jax.Array) -> jax.Array:
    chex.assert_type([source, kernel, table], [jnp.float32, jnp.float32, jnp.int32])
    kernels = compiled().sparse_conv
    by_slots = name == "slot_gemm"
    rows, width = table.shape[0], kernel.shape[2]
    kernel = whole_vectors(kernel)
    columns, lanes = kernel.shape[2], compiled().LANES
    tiles = -(-rows // (kernels.SLOT_TILE if by_slots else kernels.TILE))
    step = columns
    while tiles * -(-columns // step) < MIN_ITEMS and step > 2 * lanes:
        step = -(-step // (4 * lanes)) * 2 * lanes
    groups = -(-columns // step)
    (out,) = call(name, [(rows, columns)], (source, kernel, table), tiles * groups, int(by_slots), groups, step)
    return out[:, :width]


def gather_gemm(source: jax.Array, kernel: jax.Array, table: jax.Array) -> jax.Array:
    """out[n] = sum_t source[table[n, t]] @ kernel[t]; source [M, A], kernel [T, A, B], table [N, T] -> [N, B]."""
    chex.assert_shape([source, kernel, table], [(None, kernel.shape[1]), (table.shape[1], None, None), (None, None)])
    return _multiply("gather_gemm", source, kernel, table)


def slot_gemm(source: jax.Array, kernel: jax.Array, slots: jax.Array) -> jax.Array:
    """out[p] = source[slots[p] // 8] @ kernel[slots[p] % 8]; source [Q, A], kernel [8, A, B], slots [P] -> [P, B]."""
    chex.assert_shape([source, kernel, slots], [(None, kernel.shape[1]), (8, None, None), (None,)])
    return _multiply("slot_gemm", source, kernel, slots)


def gather_outer(rows: jax.Array, source: jax.Array, table: jax.Array) -> jax.Array:
    """out[t] = sum_n rows[n]^T source[table[n, t]]; rows [N, A], source [M, B], table [N, T] -> [T, A, B]."""
    chex.assert_shape([rows, source, table], [(table.shape[0], None), (None, None), (None, None)])
    chex.assert_type([rows, source, table], [jnp.float32, jnp.float32, jnp.int32])
    width = source.shape[1]
    source = whole_vectors(source)
    count, taps = table.shape
    parts = min(max(count // PART_ROWS, 1), MAX_PARTS)
    groups = min(taps, -(-MIN_ITEMS // parts))
    shape = (parts, taps, rows.shape[1], source.shape[1])
    (out,) = call("gather_outer", [shape], (rows, source, table), parts * groups, parts, groups)
    return out.sum(axis=0)[..., :width]


def gather_gemm_outer(
    rows: jax.Array, source: jax.Array, kernel: jax.Array, table: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(gather_gemm(source, kernel, table), gather_outer(rows, source, table))."""
    return gather_gemm(source, kernel, table), gather_outer(rows, source, table)


def slot_gemm_outer(
    source: jax.Array, rows: jax.Array, kernel: jax.Array, slots: jax.Array, table: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(slot_gemm(source, kernel, slots), gather_outer(source, rows, table))."""
    return slot_gemm(source, kernel, slots), gather_outer(source, rows, table)
