"""2x2x2 convolutions with stride 2, downwards and transposed (upwards), along the voxel pyramid.

Both read the same two tables: `children` lists for each coarse voxel the fine ones, `slots` gives for each fine voxel
`parent * 8 + octant`. Each undoes the other's scatter with a gather, forwards and backwards.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from kernels.cpu_ffi.bind import sparse_conv as on_cpu
from kernels.device.blocks import accumulator, by_platform, check_method, take_rows, zero_last_row
from kernels.device.sparse_conv.xla import gather_gemm, gather_gemm_outer, segment_gemm, slot_gemm, slot_gemm_outer

METHODS = ("numba", "xla", "blocked", "whole", "segment_sum")


@functools.partial(jax.jit, static_argnames="method")
def strided_conv(
    features: jax.Array, kernel: jax.Array, children: jax.Array, slots: jax.Array, *, method: str | None = None
) -> jax.Array:
    """y[q] = sum_k features[children[q, k]] @ kernel[k].

    Args:
      features: float [P, Cin], rows of the fine level; padding rows zero.
      kernel: float [8, Cin, Cout], octant k = 4dx + 2dy + dz, z fastest; cast to the dtype of `features`.
      children: int32 [Q, 8], fine row in each octant of a coarse voxel, absent P-1.
      slots: int32 [P], parent * 8 + octant, padding (Q-1)*8. Must say the same as `children`; not checked.
      method: as for `submanifold_conv`, without "pallas".

    Returns:
      [Q, Cout] in the dtype of `features`, padding rows zero. Reverse mode only, except for "segment_sum".

    Raises:
      AssertionError: shapes do not fit.
      ValueError: unknown method, or "numba" where it is not possible.
    """
    check_method(method, METHODS)
    rows, width = features.shape
    chex.assert_shape([children, slots, kernel], [(None, 8), (rows,), (8, width, None)])
    if method == "segment_sum":
        return segment_gemm(features, kernel.astype(features.dtype), children)
    return _down(method, features, kernel, children, slots)


@functools.partial(jax.jit, static_argnames="method")
def transposed_conv(
    features: jax.Array, kernel: jax.Array, children: jax.Array, slots: jax.Array, *, method: str | None = None
) -> jax.Array:
    """y[p] = features[slots[p] // 8] @ kernel[slots[p] % 8].

    Args:
      features: float [Q, Cin], rows of the coarse level; padding rows zero.
      kernel: float [8, Cin, Cout], octant order of `strided_conv`; cast to the dtype of `features`.
      children: int32 [Q, 8] and
      slots: int32 [P], as for `strided_conv`.
      method: as for `submanifold_conv`, without "pallas".

    Returns:
      [P, Cout] in the dtype of `features`, padding rows zero. Reverse mode only, except for "segment_sum".

    Raises:
      AssertionError: shapes do not fit.
      ValueError: unknown method, or "numba" where it is not possible.
    """
    check_method(method, METHODS)
    rows, width = features.shape
    chex.assert_shape([children, slots, kernel], [(rows, 8), (None,), (8, width, None)])
    if method == "segment_sum":
        return _up_reference(features, kernel.astype(features.dtype), slots)
    return _up(method, features, kernel, children, slots)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _down(method, features, kernel, children, slots):
    del slots
    weights = kernel.astype(features.dtype)
    return by_platform(gather_gemm, method, features, weights, children, numba=on_cpu.gather_gemm)


def _down_forward(method, features, kernel, children, slots):
    return _down(method, features, kernel, children, slots), (features, kernel, children, slots)


def _down_backward(method, saved, cotangent):
    """dx[p] = gy[parent] kernel[octant]^T; dW[k] = sum_q x[children[q, k]]^T gy[q]."""
    features, kernel, children, slots = saved
    turned = kernel.transpose(0, 2, 1).astype(features.dtype)
    operands = cotangent, features, turned, slots, children
    dx, dw = by_platform(slot_gemm_outer, method, *operands, numba=on_cpu.slot_gemm_outer)
    return dx, dw.transpose(0, 2, 1).astype(kernel.dtype), None, None


_down.defvjp(_down_forward, _down_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _up(method, features, kernel, children, slots):
    del children
    return by_platform(slot_gemm, method, features, kernel.astype(features.dtype), slots, numba=on_cpu.slot_gemm)


def _up_forward(method, features, kernel, children, slots):
    return _up(method, features, kernel, children, slots), (features, kernel, children)


def _up_backward(method, saved, cotangent):
    """With G[q, k] = gy[children[q, k]]: dx[q] = sum_k G[q, k] kernel[k]^T and dW[k] = sum_q x[q]^T G[q, k]."""
    features, kernel, children = saved
    turned = kernel.transpose(0, 2, 1).astype(features.dtype)
    operands = features, cotangent, turned, children
    dx, dw = by_platform(gather_gemm_outer, method, *operands, numba=on_cpu.gather_gemm_outer)
    return dx, dw.astype(kernel.dtype), None, None


_up.defvjp(_up_forward, _up_backward)


def _up_reference(features: jax.Array, kernel: jax.Array, slots: jax.Array) -> jax.Array:
    """`transposed_conv` as gather, multiply by a one-hot octant, and sorted segment-sum."""
    rows = slots.shape[0]
    dtype = accumulator(features.dtype)
    products = jnp.einsum(
        "pc,kcd->pkd", take_rows(zero_last_row(features), slots // 8), kernel, preferred_element_type=dtype
    )
    messages = products * jax.nn.one_hot(slots % 8, 8, dtype=dtype)[:, :, None]
    target = jnp.repeat(jnp.arange(rows), 8)
    total = jax.ops.segment_sum(messages.reshape(rows * 8, -1), target, rows, indices_are_sorted=True)
    return total.astype(features.dtype)
