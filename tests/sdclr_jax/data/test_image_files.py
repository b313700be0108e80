"""Image files: decoding, canvases and central crops against Pillow; views of a canvas; broken and missing files."""

import pathlib
import struct
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageOps

from sdclr_jax.data.image_files import ImageFiles, as_pixels, reduced, resized_centre
from sdclr_jax.views.views import ViewConfig, probe_views, two_views
from trainlib.core.errors import UserError

CASES = pathlib.Path(__file__).parents[2] / "data" / "cases" / "ssl"
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


@pytest.mark.parametrize("name", ["gray16.png", "gray16.tif"])
def test_grey_of_16_bits_keeps_its_ramp(name):
    """From black to white with a mean of 127, in canvases and in central crops."""
    files = ImageFiles(CASES, [name], origin=str, canvas=64, resize=32, size=32, threads=1)
    (height, width), pixels = files.read_canvas().sizes[0], files.read_canvas().pixels[0]
    values = pixels[:height, :width]
    assert (values.min(), values.max()) == (0, 255)
    assert values.mean() == pytest.approx(127, abs=1)
    assert files.centre_crops[np.arange(1)].mean() == pytest.approx(127, abs=10)


def test_floating_point_and_32_bit_grey_keep_their_ramps(tmp_path):
    ramp = np.linspace(0, 1, 256).reshape(16, 16)
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "float.tif")
    Image.fromarray((65535 * ramp).astype(np.int32)).save(tmp_path / "int32.tif")
    files = ImageFiles(tmp_path, ["float.tif", "int32.tif"], origin=str, canvas=16, resize=16, size=16, threads=1)
    for pixels in (*files.read_canvas().pixels, *files.centre_crops[np.arange(2)]):
        np.testing.assert_allclose(pixels[..., 0], 255 * ramp, atol=1)


def test_a_palette_with_transparency_an_animation_and_one_pixel(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        colored = Image.fromarray(random_image(16, 20)).quantize(8)
        colored.save(tmp_path / "palette.png", transparency=bytes([0, 128, 255]))
        frames = [Image.fromarray(np.full((9, 9), value, np.uint8)) for value in (10, 200)]
        frames[0].save(tmp_path / "animated.gif", save_all=True, append_images=frames[1:])
        Image.fromarray(np.full((1, 1, 3), 77, np.uint8)).save(tmp_path / "dot.png")
        names = ["palette.png", "animated.gif", "dot.png"]
        files = ImageFiles(tmp_path, names, origin=str, canvas=20, resize=9, size=8, threads=2)
        canvas, crops = files.read_canvas(), files.centre_crops[np.arange(3)]
    np.testing.assert_array_equal(canvas.pixels[0, :16], np.asarray(colored.convert("RGB")), "alpha is dropped")
    assert canvas.sizes.tolist() == [[16, 20], [9, 9], [1, 1]]
    np.testing.assert_array_equal(canvas.pixels[1, :9, :9], 10, "the first frame")
    np.testing.assert_array_equal(crops[1:], np.stack([np.full((8, 8, 3), 10), np.full((8, 8, 3), 77)]))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_images_are_those_that_pillow_turns(tmp_path, suffix, orientation):
    """A landscape image with each orientation; torchvision's reading, the default, leaves all but TIFF as stored."""
    stored = Image.fromarray(random_image(6, 9)).resize((90, 60), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"x.{suffix}", exif=exif)
    with Image.open(tmp_path / f"x.{suffix}") as image:
        as_it_is = np.asarray(image.convert("RGB"))
    with Image.open(tmp_path / f"x.{suffix}") as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    keys = {"origin": str, "canvas": 90, "resize": 40, "size": 32, "threads": 1}
    files = ImageFiles(tmp_path, [f"x.{suffix}"], **keys, upright=True)
    canvas = files.read_canvas()
    height, width = canvas.sizes[0]
    assert (width, height) == upright.size == ((60, 90) if orientation > 4 else (90, 60))
    np.testing.assert_array_equal(canvas.pixels[0, :height, :width], np.asarray(upright))
    np.testing.assert_array_equal(files.centre_crops[np.arange(1)][0], resized_centre(upright, 40, 32))
    with Image.open(tmp_path / f"x.{suffix}") as image:
        small = reduced(image, 30, upright=True)
    expected = np.asarray(upright.resize(tuple(side // 3 for side in upright.size), Image.Resampling.BICUBIC))
    assert small.shape == expected.shape
    assert np.abs(small.astype(int) - expected).mean() < 2, "also of a JPEG that its decoder reduces"
    plain = ImageFiles(tmp_path, [f"x.{suffix}"], **keys).read_canvas()
    height, width = plain.sizes[0]
    np.testing.assert_array_equal(plain.pixels[0, :height, :width], as_it_is)


def test_an_orientation_that_is_stored_as_a_fraction_counts(tmp_path):
    entry = struct.pack("<HHII", 0x0112, 5, 1, 26)  # a RATIONAL, whose two numbers are at byte 26
    exif = b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<III", 0, 6, 1)
    Image.fromarray(random_image(6, 9)).save(tmp_path / "x.png", exif=exif)
    with Image.open(tmp_path / "x.png") as image:
        assert reduced(image, 90, upright=True).shape == (9, 6, 3)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"", b"garbage", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x05\x01\x12\0\x03"])
def test_damaged_exif_data_count_as_none(tmp_path, exif):
    Image.fromarray(random_image(8, 12)).save(tmp_path / "x.jpg", exif=b"Exif\0\0" + exif)
    files = ImageFiles(tmp_path, ["x.jpg"], origin=str, canvas=12, resize=8, size=8, threads=1, upright=True)
    assert files.read_canvas().sizes.tolist() == [[8, 12]]


def test_images_of_very_many_pixels_are_named(make_files, monkeypatch, caplog):
    """Above Pillow's limit with a warning; above twice the limit they are refused."""
    files = make_files([random_image(8, 8), random_image(10, 12), random_image(20, 20)])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        files[:2].check_readable()
        assert "1 image of more than 0 million pixels, slow to decode: 1.png" in caplog.text
        with pytest.raises(UserError, match=r"1 of 3 image files cannot be read:\n.*2\.png: Image size \(400 pixels\)"):
            files.check_readable()


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
            return two_views(key, 0, ids, pixels, VIEWS, sizes=sizes)
        return probe_views(key, 0, ids, pixels, size=12, method="resized", sizes=sizes)[None]

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


def test_a_list_of_files_does_not_print_its_paths(make_files):
    files = make_files([random_image(8, 8)])
    assert len(f"{files}{files.canvases}") < 300
    assert "0.png" not in f"{files}"
