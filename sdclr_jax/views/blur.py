"""Gaussian blur as Pillow computes it: three box blurs of fractional radius along each axis."""

import math

import jax
import jax.numpy as jnp
from jax import lax

PASSES = 3


def _box_radius(sigma: jax.Array | float) -> jax.Array:
    """Radius [] of the box whose threefold repetition has deviation sigma [] (Gwosdek et al., 2011, eq. 11 to 14)."""
    variance = jnp.square(jnp.asarray(sigma, jnp.float32)) / PASSES
    whole = jnp.floor((jnp.sqrt(12 * variance + 1) - 1) / 2)
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - jnp.square(whole + 1)))
    return whole + part


def _box_weights(radius: jax.Array, reach: int) -> jax.Array:
    """Weights uint32 [reach + 1] of the offsets 0 .. reach in 24-bit fixed point, the last one a part of a pixel."""
    one = jnp.uint32(1 << 24)
    whole = jnp.floor(radius).astype(jnp.uint32)
    inner = (one.astype(jnp.float32) / (2 * radius + 1)).astype(jnp.uint32)
    outer = (one - (2 * whole + 1) * inner) // 2
    offsets = jnp.arange(reach + 1, dtype=jnp.uint32)
    return jnp.where(offsets <= whole, inner, jnp.where(offsets == whole + 1, outer, 0)).astype(jnp.uint32)


def _box_blur(image: jax.Array, weights: jax.Array, axis: int) -> jax.Array:
    """One box blur along an axis, rounded; the pixels of the edge repeat beyond it."""
    reach = weights.shape[0] - 1
    padding = [(reach, reach) if i == axis else (0, 0) for i in range(image.ndim)]
    padded = jnp.pad(image, padding, mode="edge").astype(jnp.uint32)
    total = jnp.full(image.shape, 1 << 23, jnp.uint32)
    for offset in range(-reach, reach + 1):
        shifted = lax.slice_in_dim(padded, offset + reach, offset + reach + image.shape[axis], axis=axis)
        total += weights[abs(offset)] * shifted
    return (total >> 24).astype(jnp.uint8)


def gaussian_blur(image: jax.Array, sigma: jax.Array | float, largest_sigma: float) -> jax.Array:
    """Blur of uint8 [H, W, C], rounded to uint8 after every box blur as in Pillow.

    `sigma` is the deviation in pixels, possibly traced; the Python float `largest_sigma` sets how many neighbours are
    read.
    """
    reach = math.floor((math.sqrt(12 * largest_sigma**2 / PASSES + 1) - 1) / 2) + 1
    weights = _box_weights(_box_radius(sigma), reach)
    for axis in (1, 0):
        for _ in range(PASSES):
            image = _box_blur(image, weights, axis)
    return image
