"""What an experiment is computed on: labelled images and the lists that it draws from them."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from sdclr_jax.data.image_files import ImageFiles
from sdclr_jax.data.longtail import LongTail
from trainlib.core.text import pluralize

_CLASSES_SHOWN = 20
LISTS = ("pretrain", "long_tail", "full", "few", "val")


class Dataset(NamedTuple):
    """All images of an experiment. Your own program may build one and pass it to `train` and `evaluate`.

    Attributes:
        images: uint8 [N, H, W, 3], RGB, or files of any sizes; the lists index these.
        labels: int32 [N], classes 0 .. C - 1; -1 for images without a class, which `pretrain` alone may list.
        test_images, test_labels: the test set, likewise.
        pretrain: int64, images that contrastive learning sees: D_i or D_b.
        long_tail: int64, D_i of the split; its class sizes define many, medium and few.
        full: int64, training list of the linear separability.
        few: int64, S_b, training list of the few-shot evaluation.
        val: int64, images that choose the probe's epoch.
        absent: "long_tail", "full", "few", "val" or "test" -> why there is none; these are then empty. Training needs
            none of them.
        class_names: of the classes, for reports and pictures; their numbers if there are none.
        untested: classes without a test image; evaluation skips them.
    """

    images: np.ndarray | ImageFiles
    labels: np.ndarray
    test_images: np.ndarray | ImageFiles
    test_labels: np.ndarray
    pretrain: np.ndarray
    long_tail: np.ndarray
    full: np.ndarray
    few: np.ndarray
    val: np.ndarray
    absent: Mapping[str, str] = MappingProxyType({})
    class_names: Sequence[str] = ()
    untested: Sequence[int] = ()

    @property
    def num_classes(self) -> int:
        """C."""
        return int(self.labels.max()) + 1

    @property
    def names(self) -> list[str]:
        """The C names of the classes."""
        return list(self.class_names) or [str(k) for k in range(self.num_classes)]

    @property
    def class_counts(self) -> np.ndarray:
        """int [C], images per class in D_i."""
        return np.bincount(self.labels[self.long_tail], minlength=self.num_classes)


def from_lists(config: ConfigDict, arrays: tuple, lists: LongTail, full: np.ndarray, val: np.ndarray) -> Dataset:
    """The data set of images, labels, test images and test labels, with the lists int64 [...] drawn from them."""
    pretrain = lists.balanced if config.balanced else lists.imbalanced
    return Dataset(*arrays, pretrain=pretrain, long_tail=lists.imbalanced, full=full, few=lists.few, val=val)


def _check_images(name: str, images: np.ndarray | ImageFiles, labels: np.ndarray, classes: range) -> None:
    if not isinstance(images, ImageFiles) and (images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3):
        raise ValueError(f"{name}images are {images.dtype} of shape {images.shape}; need uint8 [N, H, W, 3]")
    if labels.shape != (len(images),) or not (labels.min() in classes and labels.max() in classes):
        raise ValueError(
            f"{name}labels of shape {labels.shape}, values {labels.min()} .. {labels.max()}; need one of "
            f"0 .. {classes.stop - 1} for each of {len(images)} images"
        )


def check_dataset(dataset: Dataset) -> Dataset:
    """The same data set; ValueError with the numbers where arrays or lists do not fit together."""
    _check_images("", dataset.images, dataset.labels, range(-1, dataset.num_classes))
    if dataset.class_names and len(dataset.class_names) != dataset.num_classes:
        raise ValueError(f"{len(dataset.class_names)} class names for {dataset.num_classes} classes")
    if "test" not in dataset.absent:
        _check_images("test_", dataset.test_images, dataset.test_labels, range(dataset.num_classes))
        absent = np.setdiff1d(np.arange(dataset.num_classes), [*np.unique(dataset.test_labels), *dataset.untested])
        if len(absent):
            raise ValueError(f"the test set has no image of the classes {absent}")
        both = (dataset.images, dataset.test_images)
        shapes = [("files",) if isinstance(images, ImageFiles) else images.shape[1:] for images in both]
        if shapes[0] != shapes[1]:
            raise ValueError(f"images are {shapes[0]}, test images {shapes[1]}")
    fields = dataset._asdict()
    present = [name for name in LISTS if name not in dataset.absent]
    for name in present:
        indices = fields[name]
        if not len(indices) or indices.min() < 0 or indices.max() >= len(dataset.images):
            raise ValueError(f"list {name!r} needs indices in 0 .. {len(dataset.images) - 1}, has {indices}")
        if name != "pretrain" and dataset.labels[indices].min() < 0:
            raise ValueError(f"list {name!r} has images without a class (label -1); only 'pretrain' may have such")
    return dataset


def identity(dataset: Dataset) -> dict[str, Any]:
    """Number and checksum of the images that are trained on, and of their labels; of files their names count."""
    images, rows = dataset.images, dataset.pretrain
    checksum = hashlib.sha256(np.ascontiguousarray(dataset.labels[rows]))
    if isinstance(images, np.ndarray):
        checksum.update(np.ascontiguousarray(images[rows]))
    else:
        for row in rows:
            checksum.update(os.fsencode(images.path(row).name))
    return {"images": len(rows), "checksum": checksum.hexdigest()}


def describe(dataset: Dataset) -> str:
    """Such as "24 images of 2 classes (ant 18, bee 6)"; of many classes only the largest and the smallest are named."""
    labels, names = dataset.labels[dataset.pretrain], dataset.names
    counts = np.bincount(labels[labels >= 0], minlength=dataset.num_classes)
    order = np.argsort(-counts, kind="stable").tolist()
    parts = [order] if len(order) <= _CLASSES_SHOWN else [order[:3], order[-3:]]
    shown = " ... ".join(", ".join(f"{names[k]} {counts[k]}" for k in part) for part in parts)
    classes = f" of {pluralize(len(counts), 'class')} ({shown})" if len(counts) else ", no classes"
    return f"{len(labels):,} images{classes}"
