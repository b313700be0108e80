"""Colour operations on uint8 images with Pillow's arithmetic: every operation rounds to uint8 as PIL's does.

Images are uint8 [H, W, 3], RGB; factors are scalars and may be traced. Map over a batch with `jax.vmap`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def luma(image: jax.Array) -> jax.Array:
    """uint8 [H, W, 3] -> uint8 [H, W]: (299 R + 587 G + 114 B) / 1000 in 16-bit fixed point (PIL's mode L)."""
    red, green, blue = jnp.moveaxis(image.astype(jnp.int32), -1, 0)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(jnp.uint8)


def grayscale(image: jax.Array) -> jax.Array:
    """The luma of uint8 [H, W, 3] in all three channels."""
    return jnp.broadcast_to(luma(image)[..., None], image.shape)


def blend(degenerate: jax.Array, image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """degenerate + factor (image - degenerate), clipped to 0..255 and truncated (PIL's Image.blend).

    Args:
        degenerate: uint8, broadcastable to `image`: the result at factor 0.
        image: uint8 [H, W, 3], the result at factor 1.
        factor: 0 to 30; above 1 extrapolates.
    """
    start = degenerate.astype(jnp.float32)
    change = jnp.asarray(factor, jnp.float32) * (image.astype(jnp.float32) - start)
    # This clip never clips: it keeps the product's rounding, which a fused multiply-add would drop and PIL has.
    mixed = start + jnp.clip(change, -1e4, 1e4)
    return jnp.clip(mixed, 0, 255).astype(jnp.uint8)


def adjust_brightness(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Blends uint8 [H, W, 3] with black."""
    return blend(jnp.zeros((), jnp.uint8), image, factor)


def adjust_contrast(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Blends uint8 [H, W, 3] with the rounded mean of its luma."""
    gray = luma(image)
    mean = (2 * gray.sum(dtype=jnp.int32) + gray.size) // (2 * gray.size)
    return blend(mean.astype(jnp.uint8), image, factor)


def adjust_saturation(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Blends uint8 [H, W, 3] with the grey image."""
    return blend(luma(image)[..., None], image, factor)


def _pil_quotient(numerator: jax.Array, denominator: jax.Array, falls_short: np.ndarray) -> jax.Array:
    """floor(a / b) of int32 0 <= a < 2^22, 0 < b < 2^11, less one where a / b is whole and PIL falls short of it.

    Divides in float32, which vectorises: (a + 1/2) / b stays 1 / (2 b) away from every integer, more than it loses.
    """
    quotient = ((numerator.astype(jnp.float32) + 0.5) / denominator.astype(jnp.float32)).astype(jnp.int32)
    whole = quotient * denominator == numerator
    return quotient - (whole & jnp.asarray(falls_short)[quotient]).astype(jnp.int32)


def _hue_falls_short() -> np.ndarray:
    """bool [256]: whether PIL's float32 hue, at exactly k / 255 of a turn, truncates below k.

    The hue in sixths is x = 2 k / 85. Of PIL's three distances (maximum - channel) / chroma one is 0, one is 1, and the
    third, rounded to float32, decides: it falls with x in the sectors 0, 2 and 4 and rises in 1, 3 and 5.
    """
    twice = 2 * np.arange(256)
    sector = np.minimum(twice // 85, 5)
    within = twice - 85 * sector
    third = np.where(sector % 2 == 0, 85 - within, within).astype(np.float32) / np.float32(85)
    centre = 2.0 * ((sector + 1) // 2 % 3)
    turn = np.where(sector % 2 == 0, 1.0 - third.astype(np.float64), third.astype(np.float64) - 1.0)
    sixths = (centre + turn).astype(np.float32).astype(np.float64)
    return np.fmod(sixths / 6 + 1, 1).astype(np.float32).astype(np.float64) * 255 < np.arange(256)


HUE_FALLS_SHORT = _hue_falls_short()
# bool [256]: whether PIL's int(float32(k / 255) * 255.0) is below k.
SATURATION_FALLS_SHORT = (np.arange(256, dtype=np.float32) / np.float32(255)).astype(np.float64) * 255 < np.arange(256)


def rgb_to_hsv(image: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Hue, saturation, value, int32 [H, W] in 0..255, truncated as PIL's mode HSV; hue 255 is one turn.

    PIL truncates rounded float32 quotients. They differ from the exact ones only where those are whole numbers, and
    then by the number alone: `HUE_FALLS_SHORT` and `SATURATION_FALLS_SHORT` list where PIL is one below.
    """
    red, green, blue = jnp.moveaxis(image.astype(jnp.int32), -1, 0)
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    sixths = jnp.select(
        [red == value, green == value],
        [green - blue + jnp.where(green < blue, 6 * chroma, 0), 2 * chroma + blue - red],
        4 * chroma + red - green,
    )
    hue = _pil_quotient(255 * sixths, 6 * jnp.maximum(chroma, 1), HUE_FALLS_SHORT)
    saturation = _pil_quotient(255 * chroma, jnp.maximum(value, 1), SATURATION_FALLS_SHORT)
    return hue, saturation, value


def hsv_to_rgb(hue: jax.Array, saturation: jax.Array, value: jax.Array) -> jax.Array:
    """int32 [H, W] in 0..255 each -> uint8 [H, W, 3], rounded to nearest as PIL does."""
    hue, saturation, value = (x.astype(jnp.uint32) for x in (hue, saturation, value))
    sector, part = 6 * hue // 255, 6 * hue % 255

    def scaled(loss: jax.Array) -> jax.Array:
        """value (1 - loss / 255^2), rounded; never a tie, for 255^2 is odd."""
        return (2 * value * (65025 - loss) + 65025) // 130050

    low, falling, rising = scaled(255 * saturation), scaled(saturation * part), scaled(saturation * (255 - part))
    sector = sector % 6
    cases = [sector == i for i in range(5)]
    red = jnp.select(cases, [value, falling, low, low, rising], value)
    green = jnp.select(cases, [rising, value, value, falling, low], low)
    blue = jnp.select(cases, [low, low, rising, value, value], falling)
    return jnp.stack([red, green, blue], -1).astype(jnp.uint8)


def adjust_hue(image: jax.Array, shift: jax.Array | float) -> jax.Array:
    """Turns the hue of uint8 [H, W, 3] by trunc(255 shift) modulo 256 in HSV, as torchvision; shift -0.5 .. 0.5."""
    hue, saturation, value = rgb_to_hsv(image)
    steps = (jnp.asarray(shift, jnp.float32) * 255).astype(jnp.int32)
    return hsv_to_rgb((hue + steps) % 256, saturation, value)


def jitter(image: jax.Array, order: jax.Array, factors: jax.Array) -> jax.Array:
    """Brightness, contrast, saturation and hue, one after another in the given order.

    `order` int [4] permutes 0 brightness, 1 contrast, 2 saturation, 3 hue; `factors` float [4] are three factors and
    the hue's shift, in that fixed sequence, for the image uint8 [H, W, 3].
    """
    adjust = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
    operations = [lambda x, apply=apply, k=k: apply(x, factors[k]) for k, apply in enumerate(adjust)]
    return lax.fori_loop(0, 4, lambda i, x: lax.switch(order[i], operations, x), image)
