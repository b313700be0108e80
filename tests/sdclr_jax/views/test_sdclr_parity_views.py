"""Views with fixed parameters against stored results of the original's PIL operations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdclr_jax.views import color
from sdclr_jax.views.crop import Box, gaussian_blur, padded_crop, resized_crop
from sdclr_jax.views.views import CIFAR_VIEWS, ViewParams, apply_view

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def stored(open_fixture):
    return open_fixture("sdclr/augment.npz")


def channels_last(stored, key):
    return stored[key].transpose(0, 2, 3, 1)


def boxes(stored, key):
    return Box(*jnp.asarray(stored[key], jnp.int32).T)


def mapped(function, *arguments):
    return jax.jit(jax.vmap(function))(*arguments)


def assert_levels(actual, expected, largest, mean=None):
    """Differences of at most `largest` of the 255 levels, and of at most `mean` on average."""
    assert actual.dtype == jnp.uint8
    difference = np.abs(np.asarray(actual, int) - expected)
    assert difference.max() <= largest
    assert mean is None or difference.mean() <= mean


def test_resized_crop(stored):
    images = channels_last(stored, "images_u8_nchw")
    resized = channels_last(stored, "after_crop_resize_u8")
    crops = mapped(lambda x, box: resized_crop(x, box, resized.shape[1:3]), images, boxes(stored, "crop_top_left_h_w"))
    assert_levels(crops, resized, 2, 0.01)


@pytest.mark.parametrize(
    ("operation", "factor", "result", "largest"),
    [
        (color.adjust_brightness, "op_factor", "op_brightness", 1),
        (color.adjust_contrast, "op_factor", "op_contrast", 1),
        (color.adjust_saturation, "op_factor", "op_saturation", 1),
        (color.adjust_hue, "op_hue", "op_hue_out", 8),
        (lambda image, _: color.grayscale(image), "op_factor", "op_gray", 1),
    ],
    ids=["brightness", "contrast", "saturation", "hue", "gray"],
)
def test_colour_operations(stored, operation, factor, result, largest):
    factors = jnp.asarray(stored[factor], jnp.float32)
    images = channels_last(stored, "images_u8_nchw")[: len(factors)]
    assert_levels(mapped(operation, images, factors), channels_last(stored, result), largest, 0.01)


def view_params(stored):
    flip = jnp.asarray(stored["flip"])
    return ViewParams(
        box=boxes(stored, "crop_top_left_h_w"),
        flip=flip,
        jitter=jnp.asarray(stored["jitter"]),
        order=jnp.asarray(stored["jitter_order_0b_1c_2s_3h"], jnp.int32),
        factors=jnp.asarray(stored["factors_b_c_s_h"], jnp.float32),
        gray=jnp.asarray(stored["gray"]),
        blur=jnp.zeros_like(flip),
        sigma=jnp.ones(flip.shape, jnp.float32),
    )


def test_whole_view_from_the_stored_crop(stored):
    """After an exact crop the rest of the view agrees level for level, but for float32's last bit in a blend."""
    crops = channels_last(stored, "after_crop_resize_u8")
    view = view_params(stored)
    zeros = jnp.zeros(len(crops), jnp.int32)
    whole = view._replace(box=Box(zeros, zeros, zeros + crops.shape[1], zeros + crops.shape[2]))
    views = mapped(lambda x, v: apply_view(x, v, CIFAR_VIEWS), crops, whole)
    expected = channels_last(stored, "output_u8")
    assert_levels(views, expected, 8, 0.001)
    untouched = ~(stored["jitter"] | stored["gray"])
    np.testing.assert_array_equal(np.asarray(views)[untouched], expected[untouched])


def test_whole_view(stored):
    images = channels_last(stored, "images_u8_nchw")
    views = mapped(lambda x, v: apply_view(x, v, CIFAR_VIEWS), images, view_params(stored))
    assert_levels(views, channels_last(stored, "output_u8"), 16, 0.01)


def test_padded_crop(stored):
    offsets = jnp.asarray(stored["lineval_offsets_top_left"], jnp.int32)
    images = channels_last(stored, "images_u8_nchw")[: len(offsets)]
    crops = mapped(lambda x, offset: padded_crop(x, *offset, padding=4), images, offsets)
    assert_levels(crops, channels_last(stored, "lineval_crop"), 0)


def test_resize_and_blur(stored):
    images = channels_last(stored, "big_u8")
    resized = channels_last(stored, "big_resized")
    crops = mapped(
        lambda x, box: resized_crop(x, box, resized.shape[1:3]), images, boxes(stored, "big_crop_top_left_h_w")
    )
    assert_levels(crops, resized, 2, 0.01)
    sigmas = stored["big_sigma"]
    blurred = mapped(lambda x, s: gaussian_blur(x, s, float(sigmas.max())), resized, jnp.asarray(sigmas, jnp.float32))
    assert_levels(blurred, channels_last(stored, "big_blurred"), 8, 0.01)


def test_every_array_was_compared(stored):
    assert stored["pillow_version"]
    assert not stored.unread
