"""Resampling and blur against Pillow; the distribution and the bounds of random crops."""

import jax
import numpy as np
import pytest
from PIL import Image, ImageFilter

from sdclr_jax.views.crop import Box, central_box, gaussian_blur, padded_crop, random_box, resized_crop

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def image(height=40, width=56, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_levels(actual, expected, largest=1, mean=0.06):
    difference = np.abs(np.asarray(actual, int) - np.asarray(expected, int))
    assert difference.max() <= largest
    assert difference.mean() <= mean


@pytest.mark.parametrize("method", FILTERS)
def test_resized_crop_is_pillows(method):
    x = image()
    resize = jax.jit(lambda box: resized_crop(x, box, (24, 20), method))
    for top, left, height, width in ((0, 0, 40, 56), (3, 5, 11, 50), (30, 1, 9, 7), (7, 7, 24, 20)):
        crop = Image.fromarray(x).crop((left, top, left + width, top + height))
        assert_levels(resize(Box(top, left, height, width)), crop.resize((20, 24), FILTERS[method]))


def test_a_crop_of_the_output_size_is_exact():
    x = image()
    crop = jax.jit(lambda box: resized_crop(x, box, (16, 16)))(Box(5, 9, 16, 16))
    np.testing.assert_array_equal(crop, x[5:21, 9:25])


def test_padded_crop_by_slices():
    x = image(8, 8)
    np.testing.assert_array_equal(padded_crop(x, 4, 4, 4), x)
    corner = padded_crop(x, 0, 8, 4)
    np.testing.assert_array_equal(corner[4:, :4], x[:4, 4:])
    assert not np.any(corner[:4])
    assert not np.any(corner[:, 4:])


@pytest.mark.parametrize("sigma", [0.1, 0.7, 1.0, 1.6, 2.0])
def test_blur_is_pillows(sigma):
    x = image(seed=4)
    expected = Image.fromarray(x).filter(ImageFilter.GaussianBlur(sigma))
    np.testing.assert_array_equal(gaussian_blur(x, sigma, 2.0), np.asarray(expected))


def test_random_boxes_lie_inside_and_cover_their_ranges():
    draw = jax.jit(jax.vmap(lambda key: random_box(key, 32, 40, (0.1, 1.0), (3 / 4, 4 / 3))))
    box = jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(0), 4000)))
    assert min(box.top.min(), box.left.min()) == 0
    assert (box.top + box.height).max() == 32
    assert (box.left + box.width).max() == 40
    share, ratio = box.height * box.width / 1280, box.width / box.height
    assert 0.08 < share.min() < 0.12
    assert share.max() > 0.9
    assert 0.68 < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 1.47
    assert np.abs(np.log(ratio)).mean() > 0.1
    centre = (box.top + box.height / 2).mean(), (box.left + box.width / 2).mean()
    np.testing.assert_allclose(centre, (16, 20), atol=0.5)


def test_images_beyond_the_ratios_fall_back_to_the_central_crop():
    assert central_box(100, 10, (3 / 4, 4 / 3)) == Box(43, 0, 13, 10)
    assert central_box(10, 100, (3 / 4, 4 / 3)) == Box(0, 43, 10, 13)
    box = random_box(jax.random.key(0), 10, 400, (0.9, 1.0), (3 / 4, 4 / 3))
    assert tuple(map(int, box)) == central_box(10, 400, (3 / 4, 4 / 3))
