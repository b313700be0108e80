"""Labelled images and the lists that an experiment draws from them; labels serve the evaluation alone."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from sklearn.datasets import load_digits

from sdclr_jax.cifar import RELEASES, read_cifar
from sdclr_jax.longtail import LongTail, balanced_draw, make_long_tail, profile, read_list, read_long_tail
from trainlib.errors import UserError


class Dataset(NamedTuple):
    """All images of an experiment. A program of your own may build one and give it to `train` and `evaluate`.

    Attributes:
      images: uint8 [N, H, W, 3], RGB; the lists index these.
      labels: int32 [N], classes 0 .. C - 1.
      test_images, test_labels: the test set, of the same shapes.
      pretrain: int64, images that contrastive learning sees: D_i or D_b.
      long_tail: int64, D_i of the split; its class sizes define many, medium and few.
      full: int64, training list of the linear separability.
      few: int64, S_b, training list of the few-shot evaluation.
      val: int64, images that choose the probe's epoch.
    """

    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    pretrain: np.ndarray
    long_tail: np.ndarray
    full: np.ndarray
    few: np.ndarray
    val: np.ndarray

    @property
    def num_classes(self) -> int:
        """C."""
        return int(self.labels.max()) + 1

    @property
    def class_counts(self) -> np.ndarray:
        """int [C], images per class in D_i."""
        return np.bincount(self.labels[self.long_tail], minlength=self.num_classes)


def load_dataset(config: ConfigDict) -> Dataset:
    """The images and lists that a config names.

    Keys: `dataset`, `data_path`, `lists` (folder of the authors' .npy files; empty draws lists by the same rules),
    `split`, `balanced` (D_b instead of D_i), `train_limit` (so many random images of the list; 0 for all).

    Raises UserError for a name that is not known, ValueError or OSError for files that do not fit.
    """
    if config.dataset not in SOURCES:
        raise UserError(f"config.dataset is {config.dataset!r}; known: {', '.join(SOURCES)}")
    dataset = SOURCES[config.dataset](config)
    if config.train_limit:
        order = np.random.default_rng(config.split).permutation(dataset.pretrain)
        dataset = dataset._replace(pretrain=np.sort(order[: config.train_limit]))
    return dataset


def check_dataset(dataset: Dataset) -> Dataset:
    """The same data set; ValueError with the numbers where arrays or lists do not fit together."""
    for name, images, labels in (("", *dataset[:2]), ("test_", *dataset[2:4])):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"{name}images are {images.dtype} of shape {images.shape}; need uint8 [N, H, W, 3]")
        if labels.shape != images.shape[:1] or labels.min() < 0 or labels.max() >= dataset.num_classes:
            raise ValueError(
                f"{name}labels of shape {labels.shape}, values {labels.min()} .. {labels.max()}; need one of "
                f"0 .. {dataset.num_classes - 1} for each of {len(images)} images"
            )
    if dataset.images.shape[1:] != dataset.test_images.shape[1:]:
        raise ValueError(f"images are {dataset.images.shape[1:]}, test images {dataset.test_images.shape[1:]}")
    absent = np.setdiff1d(np.arange(dataset.num_classes), dataset.test_labels)
    if len(absent):
        raise ValueError(f"the test set has no image of the classes {absent}")
    for name in ("pretrain", "long_tail", "full", "few", "val"):
        indices = getattr(dataset, name)
        if not len(indices) or indices.min() < 0 or indices.max() >= len(dataset.images):
            raise ValueError(f"list {name!r} needs indices in 0 .. {len(dataset.images) - 1}, has {indices}")
    return dataset


def digits(config: ConfigDict) -> Dataset:
    """Scikit-learn's handwritten digits (UCI, 1,797 images of 8 x 8), grey as RGB.

    Per class 40 test and 12 validation images; D_i has 120 .. 6 images of a class, S_b 6.
    """
    source = load_digits()
    grey = np.round(source.images * (255 / 16)).astype(np.uint8)
    images, labels = np.repeat(grey[..., None], 3, axis=-1), source.target.astype(np.int32)
    rng = np.random.default_rng(0)
    test = balanced_draw(labels, np.arange(len(labels)), 40, rng)
    rest = np.setdiff1d(np.arange(len(labels)), test)
    val = balanced_draw(labels, rest, 12, rng)
    pool = np.setdiff1d(rest, val)
    lists = make_long_tail(labels, pool, profile(120, 10, 20), 6, np.random.default_rng(config.split))
    return _dataset(config, (images, labels, images[test], labels[test]), lists, pool, val)


def cifar(config: ConfigDict) -> Dataset:
    """CIFAR-10-LT or CIFAR-100-LT, imbalance 100: 5,000 images validate, D_i has 4500 .. 45 or 450 .. 4 of a class."""
    if not config.data_path:
        raise UserError("set config.data_path to the official binary files of CIFAR (docs/sdclr.md)")
    arrays = read_cifar(config.dataset, config.data_path)
    labels, num_classes = arrays[1], RELEASES[config.dataset].num_classes
    if config.lists:
        prefix = {"cifar10": "", "cifar100": "cifar100_"}[config.dataset]
        full, val = (read_list(f"{config.lists}/{prefix}{kind}IdxList.npy", len(labels)) for kind in ("train", "val"))
        return _dataset(config, arrays, read_long_tail(config.lists, prefix, config.split, len(labels)), full, val)
    val = balanced_draw(labels, np.arange(len(labels)), 5000 // num_classes, np.random.default_rng(0))
    pool = np.setdiff1d(np.arange(len(labels)), val)
    largest = len(pool) // num_classes
    sizes = profile(largest, num_classes, 100)
    lists = make_long_tail(labels, pool, sizes, largest // 100, np.random.default_rng(config.split))
    return _dataset(config, arrays, lists, pool, val)


def _dataset(config: ConfigDict, arrays: tuple, lists: LongTail, full: np.ndarray, val: np.ndarray) -> Dataset:
    pretrain = lists.balanced if config.balanced else lists.imbalanced
    return Dataset(*arrays, pretrain=pretrain, long_tail=lists.imbalanced, full=full, few=lists.few, val=val)


SOURCES: dict[str, Callable[[ConfigDict], Dataset]] = {"digits": digits, "cifar10": cifar, "cifar100": cifar}
