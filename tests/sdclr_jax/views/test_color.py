"""Colour operations against Pillow, bit for bit."""

import jax
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from sdclr_jax.views import color


def random_image(size=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def few_levels():
    """All colours of 18 levels that divide 255: whole quotients, where truncation is a matter of the last bit."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 18, 3)


IMAGES = {"random": random_image(), "few levels": few_levels(), "grey": np.full((8, 8, 3), 77, np.uint8)}


@pytest.mark.parametrize("name", IMAGES)
def test_gray(name):
    expected = np.asarray(Image.fromarray(IMAGES[name]).convert("L"))
    np.testing.assert_array_equal(color.luma(IMAGES[name]), expected)
    np.testing.assert_array_equal(color.grayscale(IMAGES[name]), np.repeat(expected[..., None], 3, -1))


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.37])
@pytest.mark.parametrize(
    ("operation", "enhancer"),
    [
        (color.adjust_brightness, ImageEnhance.Brightness),
        (color.adjust_contrast, ImageEnhance.Contrast),
        (color.adjust_saturation, ImageEnhance.Color),
    ],
    ids=["brightness", "contrast", "saturation"],
)
def test_blends(name, factor, operation, enhancer):
    expected = np.asarray(enhancer(Image.fromarray(IMAGES[name])).enhance(factor))
    actual = jax.jit(operation)(IMAGES[name], factor)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("name", IMAGES)
def test_hue_saturation_value(name):
    hsv = Image.fromarray(IMAGES[name]).convert("HSV")
    np.testing.assert_array_equal(np.stack(color.rgb_to_hsv(IMAGES[name]), -1), np.asarray(hsv))


def test_back_to_rgb():
    channels = random_image(seed=1)
    expected = np.asarray(Image.merge("HSV", [Image.fromarray(channels[..., i]) for i in range(3)]).convert("RGB"))
    np.testing.assert_array_equal(color.hsv_to_rgb(*np.moveaxis(channels.astype(np.int32), -1, 0)), expected)


@pytest.mark.parametrize("shift", [-0.1, 0.0, 0.07, 0.5])
def test_hue_shift_wraps(shift):
    image = random_image(seed=2)
    hue, saturation, value = Image.fromarray(image).convert("HSV").split()
    turned = (np.asarray(hue).astype(int) + int(shift * 255)) % 256
    expected = Image.merge("HSV", [Image.fromarray(turned.astype(np.uint8)), saturation, value]).convert("RGB")
    np.testing.assert_array_equal(color.adjust_hue(image, shift), np.asarray(expected))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_jitter_follows_its_order(order):
    image, factors = random_image(seed=3), np.array([1.3, 0.7, 1.2, 0.05], np.float32)
    steps = [color.adjust_brightness, color.adjust_contrast, color.adjust_saturation, color.adjust_hue]
    expected = image
    for i in order:
        expected = steps[i](expected, factors[i])
    actual = jax.jit(color.jitter)(image, np.array(order), factors)
    np.testing.assert_array_equal(actual, expected)
