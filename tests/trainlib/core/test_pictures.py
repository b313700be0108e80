"""Pictures of every mode as 8-bit RGB."""

import numpy as np
import pytest
from PIL import Image

from trainlib.core.pictures import to_rgb

RAMP = np.arange(256, dtype=np.float64)[None].repeat(2, 0)


@pytest.mark.parametrize(
    ("values", "number"),
    [
        (RAMP * 257, np.uint16),
        (RAMP * 257, np.int32),
        (RAMP, np.int32),
        (RAMP / 255, np.float32),
        (RAMP, np.float32),
        (RAMP * 257, np.float32),
        (RAMP * 1000, np.float32),
        (RAMP * 1000 - 5000, np.int32),
    ],
)
def test_deep_grey_keeps_its_ramp(values, number):
    picture = to_rgb(Image.fromarray(values.astype(number)))
    assert picture.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(picture), RAMP[..., None].repeat(3, -1))


def test_a_dark_16_bit_picture_stays_dark():
    assert np.asarray(to_rgb(Image.fromarray(np.full((2, 2), 257, np.uint16)))).max() == 1


def test_nan_is_black_and_a_constant_has_no_warning():
    values = np.array([[np.nan, 0.5, np.inf]], np.float32)
    np.testing.assert_array_equal(np.asarray(to_rgb(Image.fromarray(values)))[0, :, 0], [0, 128, 0])
    assert np.asarray(to_rgb(Image.fromarray(np.full((1, 2), -3.0, np.float32)))).max() == 0


def test_a_palette_with_transparency_has_its_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    image.info["transparency"] = b"\x00\xff"
    np.testing.assert_array_equal(np.asarray(to_rgb(image))[0], [[10, 20, 30], [200, 100, 50]])
