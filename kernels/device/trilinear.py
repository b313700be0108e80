"""Trilinear read-out: features of voxels at the vertices of the mesh."""

import functools

import chex
import jax
import jax.numpy as jnp
from jax import lax

from kernels.cpu_ffi.bind import weighted_sums as on_cpu
from kernels.device.blocks import (
    accumulator,
    block_rows,
    by_platform,
    check_method,
    scan_blocks,
    take_rows,
)
from kernels.device.segment_sum import BLOCK_BYTES, gather_segment_sum

METHODS = ("numba", "xla", "blocked", "whole", "segment_sum")


@functools.partial(jax.jit, static_argnames="method")
def trilinear_read_out(
    features: jax.Array,
    corners: jax.Array,
    weights: jax.Array,
    order: jax.Array,
    sorted_corners: jax.Array,
    *,
    method: str | None = None,
) -> jax.Array:
    """y[v] = sum_c weights[v, c] * features[corners[v, c]].

    Args:
      features: float [P, C], rows of voxels; padding rows zero.
      corners: int32 [V, 8], absent P-1.
      weights: float [V, 8], absent 0; cast to the accumulator's dtype. No gradient flows into them.
      order: int32 [V*8], stable argsort of corners.ravel().
      sorted_corners: int32 [V*8], corners.ravel()[order].
      method: "numba" (compiled by Numba; float32 on CPU), "blocked", "whole", "xla" (blocked on CPU, whole elsewhere),
        "segment_sum" (the plain reference) or None: numba where possible, else xla.

    Returns:
      [V, C] in the dtype of `features`, padding rows zero. The gradient of the fast methods is a sorted segment-sum
      over (order, sorted_corners); reverse mode only.

    Raises:
      AssertionError: shapes do not fit.
      ValueError: unknown method, or "numba" where it is not possible.
    """
    check_method(method, METHODS)
    rows = corners.shape[0]
    chex.assert_rank(features, 2)
    chex.assert_shape([corners, weights, order, sorted_corners], [(rows, 8), (rows, 8), (rows * 8,), (rows * 8,)])
    if method == "segment_sum":
        return _reference(features, corners, weights)
    return _read(method, features, corners, weights, order, sorted_corners)


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
def _read(method, features, corners, weights, order, sorted_corners):
    del order, sorted_corners
    return by_platform(_interpolate, method, features, corners, weights, numba=on_cpu.interpolate)


def _read_forward(method, features, corners, weights, order, sorted_corners):
    values = _read(method, features, corners, weights, order, sorted_corners)
    return values, (features.shape[0], weights, order, sorted_corners)


def _read_backward(method, saved, cotangent):
    rows, weights, order, sorted_corners = saved
    total = gather_segment_sum(cotangent, weights.reshape(-1), order, sorted_corners, rows, fan=8, method=method)
    return total.astype(cotangent.dtype), None, None, None, None


_read.defvjp(_read_forward, _read_backward)


def _reference(features: jax.Array, corners: jax.Array, weights: jax.Array) -> jax.Array:
    rows = corners.shape[0]
    dtype = accumulator(features.dtype)
    weight = lax.stop_gradient(weights).astype(dtype).reshape(-1, 1)
    messages = weight * take_rows(features, corners.reshape(-1)).astype(dtype)
    target = jnp.repeat(jnp.arange(rows), 8)
    return jax.ops.segment_sum(messages, target, rows, indices_are_sorted=True).astype(features.dtype)
