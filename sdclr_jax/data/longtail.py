"""Long-tailed subsets of a balanced set of images: the published exponential profile, and the authors' index lists."""

import pathlib
from typing import NamedTuple

import numpy as np

KINDS = ("D_i", "D_b", "S_b")


class LongTail(NamedTuple):
    """The lists of one split, indices int64 [...] of images, each list ascending.

    `imbalanced` is D_i, class sizes along the exponential profile; `balanced` D_b, the same number of images (rounded
    down) in equal classes; `few` S_b, the few-shot set: equal small classes, within both of the others.
    """

    imbalanced: np.ndarray
    balanced: np.ndarray
    few: np.ndarray


class CifarLists(NamedTuple):
    """The lists of one split of CIFAR, those of the linear separability, and 5,000 images that validate every split.

    `full` and `val` are indices int64 [...], ascending, as those of `long_tail`.
    """

    long_tail: LongTail
    full: np.ndarray
    val: np.ndarray


def profile(largest: int, num_classes: int, imbalance: float) -> np.ndarray:
    """Class sizes floor(largest * imbalance^(-i / (C - 1))), int64 [C], descending (Cui et al., 2019).

    CIFAR-10-LT: profile(4500, 10, 100) = 4500 .. 45, in all 11,165. CIFAR-100-LT: profile(450, 100, 100) = 450 .. 4.
    """
    if largest < 1 or num_classes < 2 or imbalance < 1:
        raise ValueError(f"{largest=}, {num_classes=}, {imbalance=}; need at least 1, 2 and 1")
    # The margin keeps powers that are whole numbers, such as 4500 / 100, from being rounded down to one less.
    sizes = largest * np.power(float(imbalance), -np.arange(num_classes) / (num_classes - 1))
    return np.floor(sizes + 1e-9).astype(np.int64)


def make_long_tail(
    labels: np.ndarray, pool: np.ndarray, sizes: np.ndarray, few_per_class: int, rng: np.random.Generator
) -> LongTail:
    """Draws the three lists of a split as the authors' are built.

    Each class has one random order of its images, and every list takes a beginning of it; so the lists overlap as much
    as they can (the authors' D_i and D_b of CIFAR-10 share 5,699 images, exactly this number). Which class gets which
    size is random too.

    Args:
        labels: int [N], class of every image of the whole set.
        pool: int [M], indices of the images that may be drawn.
        sizes: int [C], sizes of the classes of D_i, in any order.
        few_per_class: images per class of S_b, at most the smallest class of D_i.
    """
    num_classes = len(sizes)
    if few_per_class > min(sizes):
        raise ValueError(f"{few_per_class} images per class of S_b, but the smallest class of D_i has {min(sizes)}")
    per_class = int(np.sum(sizes)) // num_classes
    order = rng.permutation(num_classes)
    taken = []
    for c, size in zip(order, sizes):
        images, wanted = rng.permutation(pool[labels[pool] == c]), (int(size), per_class, few_per_class)
        if max(wanted) > len(images):
            raise ValueError(f"class {c} needs {max(wanted)} images, the pool has {len(images)}")
        taken.append([images[:count] for count in wanted])
    return LongTail(*(np.sort(np.concatenate(part)).astype(np.int64) for part in zip(*taken)))


def balanced_draw(labels: np.ndarray, pool: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """`per_class` images of each class in `pool` [M], int64 [...], ascending. Raises ValueError if one has fewer."""
    classes, counts = np.unique(labels[pool], return_counts=True)
    if counts.min() < per_class:
        c, smallest = classes[counts.argmin()], counts.min()
        raise ValueError(f"class {c} has {smallest} images, {per_class} were asked for")
    return capped_draw(labels, pool, per_class, rng)


def capped_draw(labels: np.ndarray, pool: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """As `balanced_draw` (int64 [...]), but all images of a class with fewer than `most`."""
    parts = [rng.permutation(pool[labels[pool] == c])[:most] for c in np.unique(labels[pool])]
    return np.sort(np.concatenate(parts)).astype(np.int64)


def read_list(path: str | pathlib.Path, num_images: int) -> np.ndarray:
    """An index list of the authors (`split1_D_i.npy`), int64 [M], ascending; nothing in the file is executed.

    Raises ValueError if it is not a list of distinct integers in 0 .. num_images - 1, OSError if it cannot be read.
    """
    try:
        indices = np.load(path, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path} is no .npy file of plain numbers; nothing in it was executed") from error
    if indices.ndim != 1 or not np.issubdtype(indices.dtype, np.integer) or not len(indices):
        raise ValueError(f"{path}: {indices.dtype} of shape {indices.shape}; an index list is a row of integers")
    if indices.min() < 0 or indices.max() >= num_images:
        raise ValueError(f"{path}: indices {indices.min()} .. {indices.max()}; there are {num_images} images")
    if len(np.unique(indices)) != len(indices):
        raise ValueError(f"{path}: {len(indices) - len(np.unique(indices))} indices occur twice")
    return np.sort(indices).astype(np.int64)


def read_long_tail(folder: str | pathlib.Path, prefix: str, split: int, num_images: int) -> LongTail:
    """The authors' lists `<prefix>split<split>_D_i.npy`, `_D_b` and `_S_b`; the prefix is "" or "cifar100_"."""
    folder = pathlib.Path(folder)
    return LongTail(*(read_list(folder / f"{prefix}split{split}_{kind}.npy", num_images) for kind in KINDS))


def cifar_lists(name: str, labels: np.ndarray, folder: str | pathlib.Path | None, split: int) -> CifarLists:
    """The lists of a split of CIFAR, imbalance 100: D_i has 4500 .. 45 or 450 .. 4 images of a class.

    `labels` int [50000] are of the official training array. Without a folder of the authors' .npy files the lists are
    drawn from the split's number by the same rules.
    """
    if folder:
        prefix = {"cifar10": "", "cifar100": "cifar100_"}[name]
        full, val = (read_list(f"{folder}/{prefix}{kind}IdxList.npy", len(labels)) for kind in ("train", "val"))
        return CifarLists(read_long_tail(folder, prefix, split, len(labels)), full, val)
    num_classes = len(np.unique(labels))
    val = balanced_draw(labels, np.arange(len(labels)), 5000 // num_classes, np.random.default_rng(0))
    pool = np.setdiff1d(np.arange(len(labels)), val)
    largest = len(pool) // num_classes
    sizes, rng = profile(largest, num_classes, 100), np.random.default_rng(split)
    return CifarLists(make_long_tail(labels, pool, sizes, largest // 100, rng), full=pool, val=val)
