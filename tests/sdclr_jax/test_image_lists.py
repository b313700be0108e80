"""Data sets of image files: the authors' text lists, folders by class, and what is said where something is missing."""

import importlib.util
import pathlib

import numpy as np
import pytest
from PIL import Image

from sdclr_jax.data import load_dataset
from trainlib.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
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
    with pytest.raises(UserError, match=r"config\.data_path is 'nowhere', which is no folder"):
        load_dataset(imagenet)


def write_classes(root, counts):
    for name, count in counts.items():
        for k in range(count):
            write_image(root / name / f"{k}.PNG", k)
        (root / name / "notes.txt").write_text("no image")


def folder_config(root, **changes):
    return load_config("sdclr_folder", "", data_path=str(root), canvas=8, loader_threads=2, **changes)


def test_a_folder_by_class_is_parted_and_made_long_tailed(tmp_path):
    write_classes(tmp_path, {"cat": 30, "dog": 40, "emu": 50})
    data = load_dataset(folder_config(tmp_path, imbalance=4.0))
    assert np.bincount(data.test_labels).tolist() == [6, 8, 10], "a fifth"
    assert np.bincount(data.labels[data.val]).tolist() == [2, 3, 4], "a tenth of the rest"
    assert sorted(data.class_counts) == [5, 11, 22], "22 / 4, floor(22 / 2), all 22 of the smallest class"
    assert np.bincount(data.labels[data.few]).tolist() == [5, 5, 5]
    assert set(data.few) <= set(data.pretrain) <= set(data.full)
    assert not set(data.val) & set(data.full)
    test_paths = {data.test_images.path(row) for row in range(len(data.test_images))}
    assert not test_paths & {data.images.path(row) for row in np.concatenate([data.full, data.val])}
    other = load_dataset(folder_config(tmp_path, imbalance=4.0, split=4))
    np.testing.assert_array_equal(other.val, data.val)
    assert set(other.pretrain) != set(data.pretrain)
    with pytest.raises(UserError, match="only 22 images to draw from"):
        load_dataset(folder_config(tmp_path))
    balanced = load_dataset(folder_config(tmp_path, imbalance=4.0, balanced=True))
    assert np.bincount(balanced.labels[balanced.pretrain]).tolist() == [12, 12, 12]


def test_a_folder_with_a_test_set_as_it_is(tmp_path):
    write_classes(tmp_path / "train", {"cat": 20, "dog": 30, "emu": 100})
    write_classes(tmp_path / "test", {"cat": 3, "dog": 4, "emu": 5, "fox": 1})
    data = load_dataset(folder_config(tmp_path, imbalance=0.0))
    assert np.bincount(data.test_labels).tolist() == [3, 4, 5], "classes are those of the training folder"
    assert data.class_counts.tolist() == [18, 27, 90]
    assert np.bincount(data.labels[data.few]).tolist() == [1, 1, 1]
    with pytest.raises(UserError, match="which is no folder; it holds a folder for each class"):
        load_dataset(folder_config(tmp_path / "nothing"))
    (tmp_path / "two" / "a").mkdir(parents=True)
    with pytest.raises(UserError, match=r"two has 1 folders, \['a'\]"):
        load_dataset(folder_config(tmp_path / "two"))
    (tmp_path / "train" / "yak").mkdir()
    with pytest.raises(UserError, match="yak has no image"):
        load_dataset(folder_config(tmp_path))


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
