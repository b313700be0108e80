"""Trilinear read-out: features of voxels at the vertices of the mesh."""

import functools

import chex
import jax
import jax.numpy as jnp

from kernels.cpu_ffi import bind as on_cpu
from kernels.device.blocks import accumulator, block_rows, scan_blocks, take_rows
from kernels.device.dispatch import by_platform, check_method
from kernels.device.segment_sum import BLOCK_BYTES, gather_segment_sum
from kernels.host.tables import Trilinear


@functools.partial(jax.jit, static_argnames="method")
def trilinear_read_out(features: jax.Array, table: Trilinear, *, method: str | None = None) -> jax.Array:
    """y[v] = sum_c weights[v, c] * features[corners[v, c]].

    Args:
        features: float [P, C], rows of voxels; padding rows zero.
        table: corners and weights [V, 8] with their order, padded. Weights are cast to the accumulator's dtype; no
            gradient flows into them.
        method: "numba" (compiled by Numba; float32 on CPU), "blocked", "whole", "xla" (blocked on CPU, whole
            elsewhere), "segment_sum" (the plain reference) or None: numba where possible, else xla.

    Returns:
        [V, C] in the dtype of `features`, padding rows zero. The gradient of the fast methods is a sorted segment-sum
        along `table.order`; reverse mode only.

    Raises:
        AssertionError: shapes do not fit.
        ValueError: unknown method, or "numba" where it is not possible.
    """
    check_method(method, ("numba", "xla", "blocked", "whole", "segment_sum"))
    rows = table.corners.shape[0]
    chex.assert_rank(features, 2)
    chex.assert_shape(table, [(rows, 8), (rows, 8), (rows * 8,), (rows * 8,)])
    if method == "segment_sum":
        return _reference(features, table)
    return _read(method, features, table)


def _interpolate(features: jax.Array, corners: jax.Array, weights: jax.Array, *, blocked: bool) -> jax.Array:
    dtype = accumulator(features.dtype)

    def body(carry, block):
        index, weight = block
        values = jnp.einsum("nk,nkc->nc", weight.astype(dtype), take_rows(features, index).astype(dtype))
        return carry, values.astype(features.dtype)

    limit = max(8, BLOCK_BYTES // (8 * features.shape[1] * dtype.itemsize))
    block = block_rows(corners.shape[0], limit) if blocked else None
    return scan_blocks(body, None, (corners, weights), block)[1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _read(method, features, table):
    return by_platform(_interpolate, method, features, table.corners, table.weights, numba=on_cpu.interpolate)


def _read_forward(method, features, table):
    return _read(method, features, table), (features.shape[0], table)


def _read_backward(method, saved, cotangent):
    rows, table = saved
    entries = table.weights.reshape(-1), table.order, table.sorted_corners
    total = gather_segment_sum(cotangent, *entries, rows, fan=8, method=method)
    return total.astype(cotangent.dtype), None


_read.defvjp(_read_forward, _read_backward)


def _reference(features: jax.Array, table: Trilinear) -> jax.Array:
    dtype = accumulator(features.dtype)
    weight = jax.lax.stop_gradient(table.weights).astype(dtype).reshape(-1, 1)
    messages = weight * take_rows(features, table.corners.reshape(-1)).astype(dtype)
    rows = table.corners.shape[0]
    target = jnp.repeat(jnp.arange(rows), 8)
    return jax.ops.segment_sum(messages, target, rows, indices_are_sorted=True).astype(features.dtype)
