"""Folders of images: how they are parted, and that everything that is not used is counted and named."""

import importlib.util
import io
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from sdclr_jax.data.dataset import identity
from sdclr_jax.data.datasets import load_dataset
from sdclr_jax.data.image_files import image_suffixes
from sdclr_jax.data.image_folders import find_images
from trainlib.core.errors import UserError

ROOT = pathlib.Path(__file__).parents[3]
CASES = ROOT / "tests" / "data" / "cases" / "ssl"


def write_image(path, value):
    """A grey image of one value, 4 x 5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 5, 3), value, np.uint8)).save(path)


def write_tree(root, counts):
    """`count` images in each folder of `counts` ("" is the root itself)."""
    for folder, count in counts.items():
        for k in range(count):
            write_image(root / folder / f"{k}.PNG", k)


def folder_config(root, words="", **changes):
    spec = importlib.util.spec_from_file_location("sdclr_folder", ROOT / "configs" / "sdclr_folder.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config(words)
    config.update({"data_path": str(root), "canvas": 8, "loader_threads": 2} | changes)
    return config


def load(root, words="", **changes):
    return load_dataset(folder_config(root, words, **changes))


def by_class(labels, num_classes):
    return np.bincount(labels, minlength=num_classes).tolist()


def test_a_long_tail_of_ones_own_is_taken_as_it_is(tmp_path):
    counts = {"ball": 140, "box": 80, "cone": 40, "stripes": 25, "ring": 12}
    write_tree(tmp_path, counts)
    data = load(tmp_path)
    assert data.names == sorted(counts)
    assert by_class(data.test_labels, 5) == [28, 16, 8, 2, 5], "a fifth"
    assert by_class(data.labels[data.val], 5) == [11, 6, 3, 1, 2], "a tenth of the rest"
    assert data.class_counts.tolist() == [101, 58, 29, 9, 18], "all others, none is thrown away"
    np.testing.assert_array_equal(data.pretrain, data.full)
    assert by_class(data.labels[data.few], 5) == [1, 1, 1, 1, 1]
    test = {data.test_images.path(row) for row in range(len(data.test_images))}
    assert not test & {data.images.path(row) for row in np.concatenate([data.full, data.val])}


def test_the_word_longtail_draws_an_artificial_one(tmp_path):
    write_tree(tmp_path, {"cat": 30, "dog": 40, "emu": 50})
    data = load(tmp_path, "longtail=4")
    assert by_class(data.test_labels, 3) == [6, 8, 10]
    assert sorted(data.class_counts) == [5, 11, 22], "22 / 4, floor(22 / 2), all 22 of the smallest class"
    assert by_class(data.labels[data.few], 3) == [5, 5, 5]
    assert set(data.few) <= set(data.pretrain) <= set(data.full)
    assert not set(data.val) & set(data.full)
    other = load(tmp_path, "longtail=4,split=4")
    np.testing.assert_array_equal(other.val, data.val)
    assert set(other.pretrain) != set(data.pretrain)
    balanced = load(tmp_path, "longtail=4,balanced")
    assert by_class(balanced.labels[balanced.pretrain], 3) == [12, 12, 12]
    with pytest.raises(UserError, match=r"imbalance is 100.0, but the class 'cat' has only 22 images .* at most 22"):
        load(tmp_path, "longtail=100")
    for value in (0.5, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match=r"config\.imbalance is .*; it must be 0, .* or at least 1"):
            load(tmp_path, imbalance=value)


# folders and their images -> images that train, sizes of the classes in D_i, test images, validation images, messages
LAYOUTS = {
    "train and test": (
        {"train/cat": 20, "train/dog": 30, "test/cat": 3, "test/dog": 4},
        (45, [18, 27], [3, 4], 5),
        [],
    ),
    "capitals, and a folder that validates": (
        {"Train/cat": 6, "Train/dog": 5, "Test/cat": 2, "Test/dog": 1, "Valid/dog": 2},
        (11, [6, 5], [2, 1], 2),
        ["2 validation images (in Valid/)"],
    ),
    "ImageNet's train and val": (
        {"train/cat": 6, "train/dog": 5, "val/cat": 2, "val/dog": 2},
        (9, [5, 4], [2, 2], 2),
        ["no folder 'test' next to 'train': the images in 'val' are the test set"],
    ),
    "valid and a third folder and loose images": (
        {"train/cat": 6, "train/dog": 5, "valid/cat": 2, "valid/dog": 2, "meta": 2, "": 1},
        (9, [5, 4], [2, 2], 2),
        ["'valid' are the test set", "not used: 3 images (0.PNG, meta/0.PNG, meta/1.PNG) in no folder"],
    ),
    "test-only classes": (
        {"train/cat": 6, "train/dog": 5, "test/cat": 1, "test/dog": 1, "test/fox": 2, "test/Dog": 1},
        (9, [5, 4], [1, 1], 2),
        ["not used: 3 images", "classes without training images: 'Dog'; did you mean 'dog'?, 'fox'"],
    ),
    "a class that is not tested": (
        {"train/cat": 6, "train/dog": 5, "test/cat": 2},
        (9, [5, 4], [2, 0], 2),
        ["1 class (dog) without a test image; evaluation leaves them out"],
    ),
    "train alone": (
        {"train/cat": 10, "train/dog": 10},
        (14, [7, 7], [2, 2], 2),
        ["which is taken as config.data_path"],
    ),
    "one folder too high": (
        {"data/train/cat": 6, "data/train/dog": 5, "data/test/cat": 2, "data/test/dog": 1},
        (9, [5, 4], [2, 1], 2),
        ["which is taken as config.data_path"],
    ),
    "a class named train": (
        {"bus": 10, "car": 10, "train": 10},
        (21, [7, 7, 7], [2, 2, 2], 3),
        ["'train' is taken as a class"],
    ),
    "images deep inside a class": (
        {"ant/sub/sub": 8, "ant": 2, "bee": 10},
        (14, [7, 7], [2, 2], 2),
        [],
    ),
    "classes of one and two images": (
        {"ant": 1, "bee": 2, "cow": 3, "dog": 10},
        (10, [1, 1, 1, 7], [0, 1, 1, 2], 2),
        ["1 class (ant) without a test image"],
    ),
    "images beside the class folders": (
        {"": 5, "ant": 10, "bee": 10},
        (19, [7, 7], [2, 2], 2),
        ["5 images (0.PNG, 1.PNG, 2.PNG, 3.PNG, 4.PNG) directly in", "trained on, but not evaluated"],
    ),
    "test folders inside the classes": (
        {"cup/train/good": 6, "cup/test/bad": 4, "pen/train/good": 10},
        (14, [7, 7], [2, 2], 2),
        ["4 images", "in a folder 'test' inside a class folder may be trained on"],
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_told_before_training(name, tmp_path, caplog):
    tree, (trained, sizes, tested, validated), messages = LAYOUTS[name]
    write_tree(tmp_path, tree)
    caplog.set_level("INFO")
    data = load(tmp_path)
    assert (len(data.pretrain), data.class_counts.tolist(), len(data.val)) == (trained, sizes, validated)
    assert by_class(data.test_labels, len(sizes)) == tested
    for message in messages:
        assert message in caplog.text
    seen = [data.images.path(row) for row in np.concatenate([data.pretrain, data.val])]
    seen += [data.test_images.path(row) for row in range(len(data.test_images))]
    assert len(set(seen)) == len(seen), "no image is in two parts"
    for row in data.full:
        assert f"/{data.names[data.labels[row]]}/" in str(data.images.path(row))


@pytest.mark.parametrize(
    ("tree", "names"),
    [({"": 7}, []), ({"cats": 7}, ["cats"]), ({"train": 7, "test": 2}, []), ({"": 3, "cats": 4}, ["cats"])],
)
def test_training_needs_no_classes(tmp_path, caplog, tree, names):
    write_tree(tmp_path, tree)
    data = load(tmp_path)
    assert (len(data.pretrain), data.names) == (7, names)
    assert "evaluation needs a folder for each of at least two classes" in data.absent["test"]
    assert "Training uses all 7 images" in caplog.text
    assert sorted(data.absent) == ["few", "full", "long_tail", "test", "val"]
    for words in ("longtail=2", "balanced"):
        with pytest.raises(UserError, match=r"and so do longtail \(config\.imbalance\) and balanced"):
            load(tmp_path, words)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({}, r"has no image that Pillow reads \(files that end in \.apng .*\.jfif"),
        ({"Train/a": 3, "train/a": 3}, "has the folders Train and train; keep one"),
        ({"test/a": 3, "test/b": 3, "x": 1}, "has the folder 'test', .* but no image in a folder 'train'"),
    ],
)
def test_folders_that_cannot_be_parted_are_refused(tmp_path, tree, message):
    write_tree(tmp_path, tree)
    with pytest.raises(UserError, match=message):
        load(tmp_path)


def test_a_path_that_is_no_folder_says_so(tmp_path, monkeypatch):
    (tmp_path / "photos.zip").write_bytes(b"PK")
    for path, message in {
        tmp_path / "nothing": "which is not a folder",
        tmp_path / "photos.zip": "which is a file; unpack an archive",
        "": r"config\.data_path is empty",
    }.items():
        with pytest.raises(UserError, match=message):
            load(path)
    monkeypatch.setenv("HOME", str(tmp_path))
    write_tree(tmp_path / "photos", {"": 3})
    assert len(load("~/photos").pretrain) == 3


def test_what_is_not_used_is_counted_and_named(tmp_path, caplog):
    caplog.set_level("INFO")
    write_tree(tmp_path, {"a": 5, "b": 5, "__MACOSX/a": 2, "a/.ipynb_checkpoints": 1})
    shutil.copy(CASES / "._apple_double.png", tmp_path / "a")
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "runs" / "deeper").mkdir(parents=True)
    (tmp_path / "a" / "none").mkdir()
    for name in ("a/x.heic", "b/clip.mp4", "a/README", "notes.txt"):
        (tmp_path / name).write_text("no image")
    os.symlink("/nowhere/0.png", tmp_path / "b" / "gone.png")
    data = load(tmp_path)
    assert len(data.pretrain) + len(data.val) + len(data.test_images) == 10
    for message in (
        "skipped: 4 hidden or system files (__MACOSX, a/._apple_double.png, a/.ipynb_checkpoints, a/Thumbs.db)",
        "not used: 4 files (notes.txt, a/README, a/x.heic, b/clip.mp4) that Pillow does not read as an image",
        "(.heic, .mp4, .txt, no ending); convert HEIC images to JPEG",
        "not used: 1 link (b/gone.png) to files that do not exist",
        "not used: 2 folders (runs, a/none) without an image",
    ):
        assert message in caplog.text


def test_what_is_beside_an_only_folder_is_named_once(tmp_path, caplog):
    caplog.set_level("INFO")
    write_tree(tmp_path, {"data/cat": 3, "data/dog": 3})
    for name in ("LICENSE.txt", "data/classes.txt"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "data" / "yak").mkdir()
    load(tmp_path)
    assert caplog.text.count("LICENSE.txt") == caplog.text.count("classes.txt") == caplog.text.count("(yak)") == 1


def test_links_are_followed_but_not_in_circles(tmp_path):
    write_tree(tmp_path, {"elsewhere/birds": 4, "own/cat": 3})
    os.symlink(tmp_path / "elsewhere" / "birds", tmp_path / "own" / "bird")
    os.symlink(tmp_path / "own", tmp_path / "own" / "cat" / "again")
    found = find_images(tmp_path / "own").images
    assert found == [*(f"bird/{k}.PNG" for k in range(4)), *(f"cat/{k}.PNG" for k in range(3))]


def encoded(suffix):
    """An image in the format of an ending, or None where Pillow does not write it."""
    name, file = Image.registered_extensions()[suffix], io.BytesIO()
    for mode in ("RGB", "P", "L", "1"):
        try:
            Image.fromarray(np.full((16, 16, 3), 200, np.uint8)).convert(mode).save(file, name)
        except (OSError, KeyError, ValueError):
            file = io.BytesIO()
        else:
            return file.getvalue()
    return None


@pytest.mark.filterwarnings("ignore:.*image format is deprecated:DeprecationWarning")
@pytest.mark.parametrize("upper", [False, True])
def test_every_ending_that_pillow_decodes_is_used(tmp_path, upper):
    contents = {suffix: content for suffix in image_suffixes() if (content := encoded(suffix))}
    assert contents.keys() >= {".jfif", ".jpe", ".jpg", ".tga", ".png", ".gif", ".bmp", ".tif", ".webp", ".ppm"}
    for suffix, content in contents.items():
        (tmp_path / f"x{suffix.upper() if upper else suffix}").write_bytes(content)
    shutil.copy(tmp_path / ("x.PNG" if upper else "x.png"), tmp_path / "without_ending")
    shutil.copy(CASES / "photo.jfif", tmp_path / "photo.jfif")
    data = load(tmp_path)
    assert len(data.pretrain) == len(contents) + 2
    assert data.images.read_canvas().pixels.shape == (len(contents) + 2, 8, 8, 3), "and all can be decoded"


def test_formats_without_a_decoder_are_not_taken_for_images():
    assert not {".eps", ".h5", ".pdf", ".mpg", ".wmf", ".heic", ".txt"} & image_suffixes()


def test_files_that_are_no_whole_images_are_named_all_at_once_before_training(tmp_path):
    write_tree(tmp_path, {"train/a": 8, "train/b": 8, "test/a": 3, "test/b": 3})
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    noise.save(tmp_path / "train" / "a" / "cut.jpg")
    whole = (tmp_path / "train" / "a" / "cut.jpg").read_bytes()
    damaged = {
        "train/a/cut.jpg": (whole[: len(whole) // 2], "truncated"),
        "train/a/0.PNG": (b"", "the file is empty"),
        "train/b/1.PNG": (b"<html>404</html>", "its content is not an image that Pillow knows"),
        "test/a/2.PNG": (b"\0\0\0\x18ftypheic" + bytes(20), "it is an HEIC image, which Pillow does not read"),
        "test/b/2.PNG": (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
    }
    for name, (content, _) in damaged.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="5 of 23 image files cannot be read") as caught:
        load(tmp_path)
    for name, (_, cause) in damaged.items():
        line = next(line for line in str(caught.value).splitlines() if name in line)
        assert cause in line


def test_a_changed_folder_has_another_identity(tmp_path):
    write_tree(tmp_path, {"a": 9, "b": 9})
    before = identity(load(tmp_path))
    assert identity(load(tmp_path)) == before
    write_tree(tmp_path, {"a": 12})
    assert identity(load(tmp_path)) != before
