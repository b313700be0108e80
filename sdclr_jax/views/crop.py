"""Crops, Pillow's antialiased resampling and its Gaussian blur on the device.

Resampling is two small matrix products per image, the blur three box blurs of fractional radius along each axis.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Interval = tuple[float, float]
PASSES = 3  # of a box blur, in place of a Gaussian


class Box(NamedTuple):
    """A crop in whole pixels: int32 [] each, possibly traced."""

    top: jax.Array | int
    left: jax.Array | int
    height: jax.Array | int
    width: jax.Array | int


def _bicubic(x: jax.Array) -> jax.Array:
    """Keys' cubic with a = -0.5 (Pillow's BICUBIC), support 2."""
    x = jnp.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return jnp.where(x < 1, near, jnp.where(x < 2, far, 0))


def _bilinear(x: jax.Array) -> jax.Array:
    """The triangle, support 1."""
    return jnp.maximum(1 - jnp.abs(x), 0)


KERNELS = {"bicubic": _bicubic, "bilinear": _bilinear}


def _resample_weights(start: jax.Array | int, length: jax.Array | int, size: int, out: int, method: str) -> jax.Array:
    """Weights that resample the pixels start .. start + length of an axis to `out` pixels (Pillow's Resample.c).

    The kernel is widened by the reduction (antialiasing) and cut off at the crop's borders: float32 [out, size], rows
    of sum 1, zero outside the crop.
    """
    scale = jnp.asarray(length, jnp.float32) / out
    centres = (jnp.arange(out, dtype=jnp.float32) + 0.5) * scale
    pixels = jnp.arange(size) - start
    distance = (pixels.astype(jnp.float32) + 0.5 - centres[:, None]) / jnp.maximum(scale, 1)
    weights = jnp.where((pixels >= 0) & (pixels < length), KERNELS[method](distance), 0)
    return weights / weights.sum(1, keepdims=True)


def _to_uint8(x: jax.Array) -> jax.Array:
    return jnp.clip(jnp.floor(x + 0.5), 0, 255).astype(jnp.uint8)


def resized_crop(image: jax.Array, box: Box, size: tuple[int, int], method: str = "bicubic") -> jax.Array:
    """Crop, then resize: along the rows first, then the columns, rounded to uint8 after each as in Pillow.

    Args:
        image: uint8 [H, W, C].
        box: the crop, inside the image (not checked), possibly traced.
        size: output (height, width).
        method: "bicubic" or "bilinear".

    Returns:
        uint8 [*size, C]; exactly the crop where the sizes agree.
    """
    height, width, _ = image.shape
    across = _resample_weights(box.left, box.width, width, size[1], method)
    down = _resample_weights(box.top, box.height, height, size[0], method)
    exact = {"precision": lax.Precision.HIGHEST}
    rows = _to_uint8(jnp.einsum("ow,hwc->hoc", across, image.astype(jnp.float32), **exact))
    return _to_uint8(jnp.einsum("oh,hwc->owc", down, rows.astype(jnp.float32), **exact))


def random_box(rng: jax.Array, height: jax.Array | int, width: jax.Array | int, area: Interval, ratio: Interval) -> Box:
    """The crop of torchvision's RandomResizedCrop: ten tries, then the largest centred crop within the ratios.

    `rng` is a jax key []; the share of the image is uniform in `area`, width / height log-uniform in `ratio`.
    """
    uniform = jax.random.uniform(rng, (22,), jnp.float32)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    areas = height * width * (area[0] + (area[1] - area[0]) * uniform[:10])
    ratios = jnp.exp(low + (high - low) * uniform[10:20])
    widths = jnp.round(jnp.sqrt(areas * ratios)).astype(jnp.int32)
    heights = jnp.round(jnp.sqrt(areas / ratios)).astype(jnp.int32)
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = jnp.argmax(fits)
    crop_height, crop_width = heights[first], widths[first]
    top = (uniform[20] * (height - crop_height + 1)).astype(jnp.int32)
    left = (uniform[21] * (width - crop_width + 1)).astype(jnp.int32)
    central = central_box(height, width, ratio)
    return Box(*(jnp.where(fits.any(), a, b) for a, b in zip(Box(top, left, crop_height, crop_width), central)))


def central_box(height: jax.Array | int, width: jax.Array | int, ratio: Interval) -> Box:
    """The largest centred crop of `height` [] x `width` [] pixels whose width / height is within `ratio`."""
    crop_height = jnp.minimum(height, jnp.round(width / ratio[0]).astype(jnp.int32))
    crop_width = jnp.minimum(width, jnp.round(height * ratio[1]).astype(jnp.int32))
    return Box((height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width)


def padded_crop(image: jax.Array, top: jax.Array | int, left: jax.Array | int, padding: int) -> jax.Array:
    """A crop of the image's own size out of the image uint8 [H, W, C] with `padding` zero pixels around it.

    `top` and `left` are places in the padded image, 0 .. 2 padding, possibly traced.
    """
    padded = jnp.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    return lax.dynamic_slice(padded, (top, left, 0), image.shape)


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
