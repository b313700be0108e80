"""Texels at texture coordinates; textures that cannot be read."""

import numpy as np
import pytest
from PIL import Image

from preprocess.formats import textures
from preprocess.formats.textures import read_texture, sampled

IMAGE = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)  # 0 1 / 2 3


@pytest.mark.parametrize(
    ("place", "texel"),
    [
        ((0, 0), 0), ((1, 0), 1), ((0, 1), 2), ((1, 1), 3), ((0.49, 0.51), 2), ((1.25, 0), 0), ((-0.25, 0), 1),
        ((2, 0), 1), ((-1, 0), 0), ((1.0000001, -1e-7), 1), ((np.nan, np.inf), 0),
    ],
)  # fmt: skip
def test_repeated_textures_end_at_their_edge(place, texel):
    assert sampled(IMAGE, np.array([place], float))[0, 0] == texel


@pytest.mark.parametrize(
    ("wrap", "u", "texel"),
    [("clamp", 1.3, 1), ("clamp", -0.3, 0), ("mirror", 1.25, 1), ("mirror", -0.25, 0), ("mirror", 1.75, 0)],
)
def test_other_ways_to_wrap(wrap, u, texel):
    assert sampled(IMAGE, np.array([[u, 0.0]]), (wrap, wrap))[0, 0] == texel


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            NotImplementedError("Unimplemented DXGI format 10"),
            "of a kind that is not read (Unimplemented DXGI format 10)",
        ),
        (SyntaxError("broken"), "it is damaged or not a picture"),
    ],
)
def test_a_texture_that_cannot_be_decoded_says_why(tmp_path, monkeypatch, error, why):
    Image.new("RGB", (2, 2)).save(tmp_path / "t.png")

    def fail(image):
        raise error

    monkeypatch.setattr(textures, "to_rgb", fail)
    texture, cause = read_texture(tmp_path / "t.png")
    assert texture is None
    assert why in cause


def test_a_lack_of_memory_is_not_taken_for_a_damaged_texture(tmp_path, monkeypatch):
    Image.new("RGB", (2, 2)).save(tmp_path / "t.png")

    def fail(image):
        raise MemoryError

    monkeypatch.setattr(textures, "to_rgb", fail)
    with pytest.raises(MemoryError):
        read_texture(tmp_path / "t.png")
