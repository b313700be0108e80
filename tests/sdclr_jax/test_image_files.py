"""Image files: decoding, canvases and central crops against Pillow; views of a canvas; broken and missing files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from sdclr_jax.image_files import ImageFiles, as_pixels
from sdclr_jax.views import ViewConfig, probe_views, two_views
from trainlib.errors import UserError

CANVAS = 24
SHAPES = ((24, 24), (10, 24), (24, 15), (7, 9))
VIEWS = ViewConfig(size=12, area=(0.2, 1.0), blur=0.5)


def random_image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def make_files(tmp_path):
    """make_files([array or bytes, ...], **keys) -> the files k.png in the folder of the test."""

    def make(images, **keys):
        paths = [f"{k}.png" for k in range(len(images))]
        for path, image in zip(paths, images):
            if isinstance(image, bytes):
                (tmp_path / path).write_bytes(image)
            else:
                Image.fromarray(image).save(tmp_path / path)
        defaults = {"canvas": CANVAS, "resize": 9, "size": 8, "threads": 3}
        return ImageFiles(tmp_path, paths, origin=lambda row: f"train.txt, line {row + 1}", **(defaults | keys))

    return make


def test_a_canvas_holds_the_image_and_its_size(make_files):
    images = [random_image(*shape, seed) for seed, shape in enumerate(SHAPES)]
    files = make_files(images)
    canvas = files[np.array([3, 1])].read_canvas(3)
    assert canvas.pixels.shape == (3, CANVAS, CANVAS, 3)
    np.testing.assert_array_equal(canvas.sizes, [SHAPES[3], SHAPES[1], (CANVAS, CANVAS)])
    for pixels, (height, width), image in zip(canvas.pixels, canvas.sizes, (images[3], images[1])):
        np.testing.assert_array_equal(pixels[:height, :width], image)
        assert pixels.sum() == image.sum(), "the rest is empty"
    assert [len(files), len(files[1:]), len(files[1:][np.array([0])])] == [4, 3, 1]
    np.testing.assert_array_equal(files[1:].canvases[np.array([0])].sizes, [SHAPES[1]])


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("P", "png"), ("RGBA", "png"), ("CMYK", "jpg"), ("L", "jpg")]
)
def test_every_kind_of_image_becomes_rgb(tmp_path, mode, suffix):
    image = Image.fromarray(random_image(16, 20)).convert(mode)
    image.save(tmp_path / f"x.{suffix}")
    files = ImageFiles(tmp_path, [f"x.{suffix}"], origin=str, canvas=20, resize=8, size=8, threads=1)
    with Image.open(tmp_path / f"x.{suffix}") as opened:
        np.testing.assert_array_equal(files.read_canvas().pixels[0, :16], np.asarray(opened.convert("RGB")))


def test_only_larger_images_are_reduced_and_a_jpeg_in_its_decoder(tmp_path):
    smooth = Image.fromarray(random_image(6, 9)).resize((900, 600), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "large.png")
    smooth.save(tmp_path / "large.jpg", quality=95)
    keys = {"origin": str, "resize": 8, "size": 8, "threads": 2}
    canvas = ImageFiles(tmp_path, ["large.png", "large.jpg"], canvas=90, **keys).read_canvas()
    np.testing.assert_array_equal(canvas.sizes, [[60, 90], [60, 90]])
    expected = np.asarray(smooth.resize((90, 60), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(canvas.pixels[0, :60], expected)
    assert np.abs(canvas.pixels[1, :60].astype(int) - expected).mean() < 2
    whole = ImageFiles(tmp_path, ["large.png"], canvas=900, **keys).read_canvas()
    np.testing.assert_array_equal(whole.pixels[0, :600], np.asarray(smooth))


@pytest.mark.parametrize("shape", [(40, 56), (57, 40), (9, 9), (3, 30)])
def test_central_crops_are_torchvisions(make_files, shape):
    """Resize(9) makes the other side int(9 * long / short); CenterCrop(8) begins at round((side - 8) / 2)."""
    image = random_image(*shape)
    crop = as_pixels(make_files([image]))[np.array([0, 0])]
    scaled = tuple(9 if side == min(shape) else int(9 * side / min(shape)) for side in shape)
    resized = np.asarray(Image.fromarray(image).resize(scaled[::-1], Image.Resampling.BILINEAR))
    top, left = (round((side - 8) / 2) for side in scaled)
    np.testing.assert_array_equal(crop[1], resized[top : top + 8, left : left + 8])
    assert as_pixels(image) is image


@pytest.mark.parametrize("make", ["pretraining", "probe"])
def test_views_of_a_canvas_are_those_of_the_bare_image_whatever_the_padding(make):
    images = [random_image(*shape, seed) for seed, shape in enumerate(SHAPES)]
    sizes = np.array(SHAPES, np.int32)
    key, ids = jax.random.key(0), jnp.arange(len(SHAPES))

    def views(ids, pixels, sizes=None):
        if make == "pretraining":
            return two_views(key, 0, ids, pixels, VIEWS, sizes)
        return probe_views(key, 0, ids, pixels, 12, "resized", sizes)[None]

    compiled = jax.jit(views)
    results = []
    for fill in (0, 255, random_image(CANVAS, CANVAS, 9)):
        pixels = np.empty((len(SHAPES), CANVAS, CANVAS, 3), np.uint8)
        pixels[:] = fill
        for canvas, image, (height, width) in zip(pixels, images, SHAPES):
            canvas[:height, :width] = image
        results.append(np.asarray(compiled(ids, pixels, sizes)))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    for k in (0, 1):
        np.testing.assert_array_equal(results[0][:, k : k + 1], compiled(ids[k : k + 1], images[k][None]))


def test_files_that_are_missing_are_counted_and_the_first_is_named(make_files, tmp_path):
    files = make_files([random_image(8, 8, seed) for seed in range(4)])
    files.check_present()
    (tmp_path / "1.png").unlink()
    (tmp_path / "3.png").unlink()
    with pytest.raises(
        UserError, match=r"2 of 4 image files are missing; the first is .*1\.png \(train\.txt, line 2\)"
    ):
        files.check_present()
    files[np.array([0, 2])].check_present()


@pytest.mark.parametrize("damage", ["empty", "text", "truncated"])
def test_a_broken_file_is_named_with_its_list_and_line(make_files, tmp_path, damage):
    files = make_files([random_image(8, 8, seed) for seed in range(3)])
    whole = (tmp_path / "2.png").read_bytes()
    contents = {"empty": b"", "text": b"<html>404</html>", "truncated": whole[: len(whole) // 2]}
    (tmp_path / "2.png").write_bytes(contents[damage])
    for read in (files.read_canvas, lambda: files.centre_crops[np.arange(3)]):
        with pytest.raises(UserError, match=r"2\.png \(train\.txt, line 3\) cannot be read as an image: .*Replace"):
            read()
    files[:2].read_canvas()


def test_sizes_that_do_not_fit_are_refused(make_files):
    for keys in ({"size": 10}, {"size": 0}, {"canvas": 0}, {"threads": 0}):
        with pytest.raises(UserError, match=str(next(iter(keys.values())))):
            make_files([], **keys)
