"""Sparse convolutions on voxels: submanifold 3x3x3, and 2x2x2 with stride 2 down and up the voxel pyramid.

In a submanifold convolution outputs exist where inputs do (Graham et al., CVPR 2018, "3D Semantic Segmentation with
Submanifold Sparse Convolutional Networks"). Nothing scatters, forward or backward: a submanifold table mirrors itself,
and `children` and `slots` undo each other.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from kernels.cpu_ffi import bind as on_cpu
from kernels.device.blocks import accumulator, take_rows, zero_last_row
from kernels.device.dispatch import by_platform, check_method
from kernels.device.sparse_conv import pallas as fused
from kernels.device.sparse_conv import xla

METHODS = ("numba", "xla", "blocked", "whole", "segment_sum")


@functools.partial(jax.jit, static_argnames="method")
def submanifold_conv(
    features: jax.Array, kernel: jax.Array, neighbours: jax.Array, *, method: str | None = None
) -> jax.Array:
    """y[p] = sum_k features[neighbours[p, k]] @ kernel[k].

    Args:
        features: float [P, Cin], rows of voxels; padding rows zero.
        kernel: float [27, Cin, Cout], tap k = (dx+1) + 3(dy+1) + 9(dz+1), x fastest, correlation order. It is cast to
            the dtype of `features`; its gradient has its own dtype.
        neighbours: int32 [P, 27], row of the voxel at offset k, absent P-1. Trusted: indices must be in range and
            neighbours[neighbours[p, k], 26-k] == p wherever the neighbour exists.
        method: "numba" (compiled by Numba; float32 on CPU), "pallas" (fused gather and product on GPU), "blocked"
            (im2col over blocks of rows), "whole" (im2col at once), "xla" (blocked on CPU, whole elsewhere),
            "segment_sum" (the plain reference), or None: numba where possible, else xla.

    Returns:
        [P, Cout] in the dtype of `features`, padding rows zero. The fast methods have a custom reverse-mode derivative
        without scatters (no forward mode); a cotangent's padding rows are ignored.

    Raises:
        AssertionError: shapes do not fit.
        ValueError: unknown method, or "numba" or "pallas" where it is not possible.
    """
    check_method(method, ("numba", "pallas", *METHODS[1:]))
    rows, width = features.shape
    chex.assert_shape([neighbours, kernel], [(rows, 27), (27, width, None)])
    if method == "segment_sum":
        return xla.segment_gemm(features, kernel.astype(features.dtype), neighbours)
    return _conv("submanifold", method, features, kernel, (neighbours,))


@functools.partial(jax.jit, static_argnames="method")
def strided_conv(
    features: jax.Array, kernel: jax.Array, children: jax.Array, slots: jax.Array, *, method: str | None = None
) -> jax.Array:
    """y[q] = sum_k features[children[q, k]] @ kernel[k].

    Args:
        features: float [P, Cin], rows of the fine level; padding rows zero.
        kernel: float [8, Cin, Cout], octant k = 4dx + 2dy + dz, z fastest; cast to the dtype of `features`.
        children: int32 [Q, 8], fine row in each octant of a coarse voxel, absent P-1.
        slots: int32 [P], parent * 8 + octant, padding (Q-1)*8. Must agree with `children`; not checked.
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
        return xla.segment_gemm(features, kernel.astype(features.dtype), children)
    return _conv("strided", method, features, kernel, (children, slots))


@functools.partial(jax.jit, static_argnames="method")
def transposed_conv(
    features: jax.Array, kernel: jax.Array, children: jax.Array, slots: jax.Array, *, method: str | None = None
) -> jax.Array:
    """y[p] = features[slots[p] // 8] @ kernel[slots[p] % 8], [P, Cout]; raises what `strided_conv` does.

    Its features [Q, Cin] are rows of the coarse level, its result has rows of the fine one. Kernel, tables, method,
    dtype and padding are as for `strided_conv`.
    """
    check_method(method, METHODS)
    rows, width = features.shape
    chex.assert_shape([children, slots, kernel], [(rows, 8), (None,), (8, width, None)])
    if method == "segment_sum":
        dtype, weights = accumulator(features.dtype), kernel.astype(features.dtype)
        parents = take_rows(zero_last_row(features), slots // 8)
        products = jnp.einsum("pc,kcd->pkd", parents, weights, preferred_element_type=dtype)
        return (products * jax.nn.one_hot(slots % 8, 8, dtype=dtype)[:, :, None]).sum(axis=1).astype(features.dtype)
    return _conv("transposed", method, features, kernel, (children, slots))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _conv(kind, method, features, kernel, tables):
    weights = kernel.astype(features.dtype)
    if kind == "transposed":
        return by_platform(xla.slot_gemm, method, features, weights, tables[1], numba=on_cpu.slot_gemm)
    forms = {"numba": on_cpu.gather_gemm, "pallas": fused.gather_gemm}
    return by_platform(xla.gather_gemm, method, features, weights, tables[0], **forms)


def _conv_forward(kind, method, features, kernel, tables):
    return _conv(kind, method, features, kernel, tables), (features, kernel, tables)


def _conv_backward(kind, method, saved, cotangent):
    """With G[p, k] = gy[table[p, k]]: dx[p] = sum_k G[p, k] kernel[k]^T and dW[k] = sum_p x[p]^T G[p, k].

    That holds for the transposed convolution. In a submanifold one tap k of the table is tap 26-k of the kernel, and in
    a strided one the fine rows are gathered: dx[p] = gy[parent] kernel[octant]^T, dW[k] = sum_q x[children[q, k]]^T
    gy[q].
    """
    features, kernel, tables = saved
    if kind == "submanifold":
        kernel = kernel[::-1]
    turned = kernel.transpose(0, 2, 1).astype(features.dtype)
    if kind == "strided":
        operands = cotangent, features, turned, tables[1], tables[0]
        dx, dw = by_platform(xla.slot_gemm_outer, method, *operands, numba=on_cpu.slot_gemm_outer)
        dw = dw.transpose(0, 2, 1)
    else:
        forms = {"numba": on_cpu.gather_gemm_outer, "pallas": fused.gather_gemm_outer}
        dx, dw = by_platform(xla.gather_gemm_outer, method, features, cotangent, turned, tables[0], **forms)
    return dx, (dw[::-1] if kind == "submanifold" else dw).astype(kernel.dtype), None


_conv.defvjp(_conv_forward, _conv_backward)
