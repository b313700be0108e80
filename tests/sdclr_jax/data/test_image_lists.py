"""Data sets of image files: the authors' text lists, and what is said where something is missing."""

import importlib.util
import pathlib

import numpy as np
import pytest
from PIL import Image

from sdclr_jax.data.datasets import load_dataset
from trainlib.core.errors import UserError

ROOT = pathlib.Path(__file__).parents[3]
LISTS = {
    "imageNet_100_LT_train": [("train/a/0.png", 0), ("train/a/1.png", 0), ("train/b/0.png", 1)],
    "imageNet_100_BL_train": [("train/a/1.png", 0), ("train/b/1.png", 1)],
    "imageNet_100_sub_balance_train_0.01": [("train/b/2.png", 1), ("train/a/2.png", 0)],
    "ImageNet_100_train": [(f"train/{c}/{k}.png", "ab".index(c)) for c in "ab" for k in range(3)],
    "ImageNet_100_val": [("train/b/3.png", 1), ("train/a/3.png", 0)],
    "ImageNet_100_test": [("val/1.png", 1), ("val/0.png", 0)],
}


def load_config(name, words="", **changes):
    spec = importlib.util.spec_from_file_location(name, ROOT / "configs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config(words)
    config.update(changes)
    return config


def write_image(path, value):
    """A grey image of one value, 4 x 5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 5, 3), value, np.uint8)).save(path)


@pytest.fixture
def imagenet(tmp_path):
    """A config of six lists and their images; an image's pixels tell which it is."""
    for value, (c, k) in enumerate((c, k) for c in "ab" for k in range(4)):
        write_image(tmp_path / "images" / "train" / c / f"{k}.png", value)
    for k in range(2):
        write_image(tmp_path / "images" / "val" / f"{k}.png", 100 + k)
    (tmp_path / "lists").mkdir()
    for name, entries in LISTS.items():
        lines = "".join(f"{path} {label}\n" for path, label in entries)
        (tmp_path / "lists" / f"{name}.txt").write_text(lines)
    paths = {"data_path": str(tmp_path / "images"), "lists": str(tmp_path / "lists")}
    return load_config("sdclr_imagenet100_lt", "", canvas=8, loader_threads=2, **paths)


def values_of(images, rows):
    """What the images of the rows show."""
    return images[rows].read_canvas().pixels[:, 0, 0, 0].tolist()


def test_lists_become_rows_of_all_their_images_together(imagenet):
    data = load_dataset(imagenet)
    assert len(data.images) == 8
    expected = {"pretrain": [0, 1, 4], "full": [0, 1, 2, 4, 5, 6], "few": [2, 6], "val": [3, 7]}
    for name, values in expected.items():
        rows = getattr(data, name)
        assert sorted(values_of(data.images, rows)) == values
        assert data.labels[rows].tolist() == [value // 4 for value in values_of(data.images, rows)]
    assert values_of(data.test_images, slice(None)) == [101, 100]
    assert data.test_labels.tolist() == [1, 0]
    assert data.class_counts.tolist() == [2, 1]
    assert not data.absent
    imagenet.balanced = True
    balanced = load_dataset(imagenet)
    assert values_of(balanced.images, balanced.pretrain) == [1, 5]
    assert balanced.class_counts.tolist() == [2, 1], "groups are those of D_i"


def test_pretraining_needs_its_own_lists_alone(imagenet):
    lists = pathlib.Path(imagenet.lists)
    for name in ("ImageNet_100_train", "ImageNet_100_test", "imageNet_100_BL_train"):
        (lists / f"{name}.txt").unlink()
    data = load_dataset(imagenet)
    assert sorted(data.absent) == ["full", "test"]
    assert data.absent["full"] == f"there is no list {lists / 'ImageNet_100_train.txt'} (config.list_full)"
    assert (len(data.pretrain), len(data.full), len(data.test_images)) == (3, 0, 0)
    imagenet.balanced = True
    with pytest.raises(UserError, match=r"there is no list .*BL_train\.txt \(config\.list_balanced\); pre-training"):
        load_dataset(imagenet)


def test_lists_that_do_not_fit_are_refused_with_file_and_line(imagenet):
    path = pathlib.Path(imagenet.lists) / "ImageNet_100_val.txt"
    for line, message in {
        "train/a/3.png": r"ImageNet_100_val\.txt, line 2: 'train/a/3.png' is not",
        "train/a/3.png cat": "line 2: .* is not 'relative/path label'",
        "train/b/0.png 0": r"b/0\.png has class 0 in ImageNet_100_val\.txt, line 2, but 1 in .*LT_train\.txt, line 3",
    }.items():
        path.write_text(f"train/b/3.png 1\n{line}\n")
        with pytest.raises(ValueError, match=message):
            load_dataset(imagenet)
    path.write_text("train/b/3.png 1\ntrain/b/4.png 1\n")
    with pytest.raises(
        UserError, match=r"1 of 8 image files are missing; .*b/4\.png \(ImageNet_100_val\.txt, line 2\)"
    ):
        load_dataset(imagenet)
    path.write_text("")
    with pytest.raises(ValueError, match="names no image"):
        load_dataset(imagenet)
    imagenet.data_path = "nowhere"
    with pytest.raises(UserError, match=r"config\.data_path is 'nowhere', which is not a folder"):
        load_dataset(imagenet)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_lists_of_any_editor_are_read(imagenet, encoding):
    """As Notepad and PowerShell write them, with blank lines and blanks in names."""
    write_image(pathlib.Path(imagenet.data_path) / "train/a/caf\u00e9 au lait.png", 42)
    path = pathlib.Path(imagenet.lists) / "imageNet_100_LT_train.txt"
    lines = ["train/a/0.png 0", "", "train/a/caf\u00e9 au lait.png 0", "  ", "train/b/0.png 1", "", ""]
    path.write_bytes("\r\n".join(lines).encode(encoding))
    data = load_dataset(imagenet)
    assert sorted(values_of(data.images, data.pretrain)) == [0, 4, 42]
    path.write_bytes("\r\n".join([*lines, "no label"]).encode(encoding))
    with pytest.raises(ValueError, match=r"imageNet_100_LT_train\.txt, line 8: 'no label' is not"):
        load_dataset(imagenet)


def test_a_list_that_is_no_text_is_named(imagenet):
    path = pathlib.Path(imagenet.lists) / "ImageNet_100_val.txt"
    path.write_bytes(bytes(range(256)) * 4)
    with pytest.raises(ValueError, match=r"ImageNet_100_val\.txt: not a text"):
        load_dataset(imagenet)


def rewritten(imagenet, label_of):
    """Writes all lists of `imagenet` with other labels."""
    for name, entries in LISTS.items():
        lines = "".join(f"{path} {label_of(name, label)}\n" for path, label in entries)
        (pathlib.Path(imagenet.lists) / f"{name}.txt").write_text(lines)
    return imagenet


@pytest.mark.parametrize(
    ("label_of", "message"),
    [
        (lambda name, label: label + 1, r"LT_train\.txt, .*: 2 classes, numbered 1 \.\. 2; no image of class 0\."),
        (lambda name, label: 3 * label, r"2 classes, numbered 0 \.\. 3; no image of classes 1, 2\. .* renumber"),
        (lambda name, label: label * 4_000_000_000, r"no image of classes 1, 2, .*, \.\.\.\. Classes are numbered"),
        (lambda name, label: label * ("test" not in name), r"ImageNet_100_test\.txt: no test image of class 1;"),
        (
            lambda name, label: label + ("test" in name),
            r"ImageNet_100_test\.txt: class 2 \(first in ImageNet_100_test\.txt, line 1\) in no training list",
        ),
    ],
)
def test_classes_with_a_gap_or_from_one_are_named_with_their_list(imagenet, label_of, message):
    with pytest.raises(UserError, match=message):
        load_dataset(rewritten(imagenet, label_of))


def test_classes_have_the_names_of_their_folders(imagenet):
    assert load_dataset(imagenet).names == ["a", "b"]
    write_image(pathlib.Path(imagenet.data_path) / "train/c/9.png", 9)
    path = pathlib.Path(imagenet.lists) / "imageNet_100_LT_train.txt"
    path.write_text(path.read_text() + "train/c/9.png 1\n")
    assert load_dataset(imagenet).names == ["0", "1"], "two folders of one class have no one name"


@pytest.mark.parametrize(
    ("name", "words", "pretrain"),
    [
        ("sdclr_imagenet100_lt", "balanced", "imageNet_100_BL_train.txt"),
        ("sdclr_imagenet_lt", "simclr,balanced", "ImageNet_BL_train.txt"),
        ("sdclr_imagenet_lt", "exp,balanced", "imageNet_BL_exp_train.txt"),
    ],
)
def test_configs_name_the_published_lists(name, words, pretrain):
    config = load_config(name, words)
    assert config.list_balanced == pretrain
    assert config.temperature == (0.2 if "simclr" in words else 0.3)
