"""Submanifold 3x3x3 sparse convolution (Graham et al., CVPR 2018, "3D Semantic Segmentation with Submanifold Sparse
Convolutional Networks"): outputs exist where inputs do."""

import functools

import chex
import jax

from kernels.cpu_ffi.bind import sparse_conv as on_cpu
from kernels.device.blocks import by_platform, check_method
from kernels.device.sparse_conv import pallas as fused
from kernels.device.sparse_conv.xla import gather_gemm, gather_gemm_outer, segment_gemm

METHODS = ("numba", "pallas", "xla", "blocked", "whole", "segment_sum")


@functools.partial(jax.jit, static_argnames="method")
def submanifold_conv(
    features: jax.Array, kernel: jax.Array, neighbours: jax.Array, *, method: str | None = None
) -> jax.Array:
    """y[p] = sum_k features[neighbours[p, k]] @ kernel[k].

    Args:
      features: float [P, Cin], rows of voxels; padding rows zero.
      kernel: float [27, Cin, Cout], tap k = (dx+1) + 3(dy+1) + 9(dz+1), x fastest, correlation order. It is cast to the
        dtype of `features`; its gradient has its own dtype.
      neighbours: int32 [P, 27], row of the voxel at offset k, absent P-1. Trusted: indices must be in range and
        neighbours[neighbours[p, k], 26-k] == p wherever the neighbour exists.
      method: "numba" (compiled by Numba; float32 on CPU), "pallas" (fused gather and product on GPU), "blocked" (im2col
        over blocks of rows), "whole" (im2col at once), "xla" (blocked on CPU, whole elsewhere), "segment_sum" (the
        plain reference), or None: numba where possible, else xla.

    Returns:
      [P, Cout] in the dtype of `features`, padding rows zero. The fast methods have a custom reverse-mode derivative
      without scatters (no forward mode); a cotangent's padding rows are ignored.

    Raises:
      AssertionError: shapes do not fit.
      ValueError: unknown method, or "numba" or "pallas" where it is not possible.
    """
    check_method(method, METHODS)
    rows, width = features.shape
    chex.assert_shape(neighbours, (rows, 27))
    chex.assert_shape(kernel, (27, width, None))
    if method == "segment_sum":
        return segment_gemm(features, kernel.astype(features.dtype), neighbours)
    return _conv(method, features, kernel, neighbours)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv(method: str | None, features: jax.Array, kernel: jax.Array, neighbours: jax.Array) -> jax.Array:
    weights = kernel.astype(features.dtype)
    operands = features, weights, neighbours
    return by_platform(gather_gemm, method, *operands, numba=on_cpu.gather_gemm, pallas=fused.gather_gemm)


def _conv_forward(method, features, kernel, neighbours):
    return _conv(method, features, kernel, neighbours), (features, kernel, neighbours)


def _conv_backward(method, saved, cotangent):
    """With G[p, k] = gy[neighbours[p, k]] the mirror rule makes dx[p] = sum_k G[p, k] kernel[26-k]^T and
    dW[26-k] = sum_p x[p]^T G[p, k]."""
    features, kernel, neighbours = saved
    mirrored = kernel[::-1].transpose(0, 2, 1).astype(features.dtype)
    operands = features, cotangent, mirrored, neighbours
    dx, dw = by_platform(
        gather_gemm_outer, method, *operands, numba=on_cpu.gather_gemm_outer, pallas=fused.gather_gemm_outer
    )
    return dx, dw[::-1].astype(kernel.dtype), None


_conv.defvjp(_conv_forward, _conv_backward)
