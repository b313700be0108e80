"""Image convolution and its two gradients through the Numba kernels: float32 on CPU, channels last, square kernels,
strides that are powers of two."""

import chex
import jax
import jax.numpy as jnp

from kernels.cpu_ffi.runtime.calls import call, compiled, whole_vectors

MIN_ITEMS = 32
"""Where there are fewer tiles or parts, columns and taps are shared out as well."""
PART_PIXELS = 4096
MAX_PARTS = 16
"""Pixels per partial sum of the weight gradient, and the largest number of those."""


def _convolve(
    source: jax.Array, kernel: jax.Array, shape: tuple[int, int, int], up: int, down: int, before: int
) -> jax.Array:
    """[N, H', W', A] and [side, side, A, B] -> [*shape, B]; `kernels.cpu_ffi.loops.dense_conv` defines the rest."""
    chex.assert_type([source, kernel], jnp.float32)
    kernels, side, width = compiled().dense_conv, kernel.shape[0], kernel.shape[3]
    kernel = whole_vectors(kernel)
    columns = kernel.shape[3]
    panel = kernels.PANEL if columns % kernels.PANEL == 0 else kernels.LANES
    panels = kernel.reshape(side * side, -1, columns // panel, panel).transpose(2, 0, 1, 3)
    tiles = -(-shape[0] * shape[1] * shape[2] // kernels.TILE)
    groups = min(-(-MIN_ITEMS // tiles), columns // panel)
    geometry = (*shape[1:], *source.shape[1:3], up, down.bit_length() - 1, before, side)
    (out,) = call("dense_conv", [(*shape, columns)], (source, panels), tiles * groups, *geometry, groups)
    return out[..., :width]


def conv2d(x: jax.Array, kernel: jax.Array, *, stride: int, padding: int) -> jax.Array:
    """y[n, h, w] = sum_ij x[n, h * stride + i - padding, w * stride + j - padding] @ kernel[i, j], zero outside."""
    height, width = ((length + 2 * padding - kernel.shape[0]) // stride + 1 for length in x.shape[1:3])
    return _convolve(x, kernel, (x.shape[0], height, width), stride, 1, padding)


def conv2d_input_gradient(
    kernel: jax.Array, cotangent: jax.Array, shape: tuple[int, ...], *, stride: int, padding: int
) -> jax.Array:
    """The gradient by x, of `shape` [N, H, W, A]: a convolution with the mirrored kernel over a grid with gaps."""
    mirrored = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    return _convolve(cotangent, mirrored, shape[:3], 1, stride, kernel.shape[0] - 1 - padding)


def conv2d_weight_gradient(x: jax.Array, cotangent: jax.Array, side: int, *, stride: int, padding: int) -> jax.Array:
    """The gradient by the kernel, [side, side, A, B]."""
    chex.assert_type([x, cotangent], jnp.float32)
    kernels, taps, width = compiled().dense_conv, side * side, cotangent.shape[3]
    cotangent = whole_vectors(cotangent)
    images, *size, columns = cotangent.shape
    parts = min(max(images * size[0] * size[1] // PART_PIXELS, 1), MAX_PARTS)
    groups = min(taps, -(-MIN_ITEMS // parts))
    slices = min(-(-MIN_ITEMS // (parts * groups)), -(-columns // kernels.PANEL))
    step = -(-columns // (slices * kernels.PANEL)) * kernels.PANEL
    items = parts * groups * -(-columns // step)
    plan = (*size, *x.shape[1:3], stride, 0, padding, side, parts, groups, step)
    (out,) = call("dense_outer", [(parts, taps, x.shape[3], columns)], (x, cotangent), items, *plan)
    return out.sum(axis=0)[..., :width].reshape(side, side, x.shape[3], width)
