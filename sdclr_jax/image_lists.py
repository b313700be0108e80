"""Data sets of image files: named by text lists as the authors' for ImageNet, or found in a folder by class."""

import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from sdclr_jax.dataset import Dataset
from sdclr_jax.image_files import SUFFIXES, ImageFiles
from sdclr_jax.longtail import LongTail, balanced_draw, make_long_tail, profile
from trainlib.errors import UserError

TRAIN_LISTS = ("imbalanced", "balanced", "full", "few", "val")


class Entries(NamedTuple):
    """A text list: relative paths, their classes, and the file's name."""

    paths: list[str]
    labels: list[int]
    name: str


def read_text_list(path: pathlib.Path) -> Entries:
    """Lines of `relative/path label`. ValueError with the line's number where one is something else."""
    paths, labels = [], []
    for number, line in enumerate(path.read_text().rstrip().splitlines(), 1):
        name, _, label = line.strip().rpartition(" ")
        if not name or not label.isdecimal():
            raise ValueError(f"{path}, line {number}: {line!r} is not 'relative/path label' with a class from 0 on")
        paths.append(name.rstrip())
        labels.append(int(label))
    if not paths:
        raise ValueError(f"{path} names no image")
    return Entries(paths, labels, path.name)


def text_lists(config: ConfigDict) -> Dataset:
    """Images below `data_path`, named by the lists `list_imbalanced` (D_i), `list_balanced` (D_b), `list_full`,
    `list_few` (S_b), `list_val` and `list_test` in the folder `lists`.

    Training needs D_i, and D_b where `balanced` is set; a list that is not there is `absent` from the data set.
    """
    for key in ("data_path", "lists"):
        if not config[key] or not os.path.isdir(config[key]):
            raise UserError(f"config.{key} is {config[key]!r}, which is no folder; see docs/sdclr.md")
    lists, absent = {}, {}
    for kind in (*TRAIN_LISTS, "test"):
        path = pathlib.Path(config.lists) / config[f"list_{kind}"]
        if path.is_file():
            lists[kind] = read_text_list(path)
        else:
            absent[kind] = f"there is no list {path} (config.list_{kind})"
    for kind in ("imbalanced", "balanced") if config.balanced else ("imbalanced",):
        if kind in absent:
            raise UserError(f"{absent[kind]}; pre-training needs it")
    train = [lists[kind] for kind in TRAIN_LISTS if kind in lists]
    rows, files, labels = _merged(config, train)
    rows = dict(zip((kind for kind in TRAIN_LISTS if kind in lists), rows))
    _, test_files, test_labels = _merged(config, [lists["test"]] if "test" in lists else [])
    nothing = np.zeros(0, np.int64)
    return Dataset(
        files,
        labels,
        test_files,
        test_labels,
        pretrain=rows["balanced" if config.balanced else "imbalanced"],
        long_tail=rows["imbalanced"],
        **{kind: rows.get(kind, nothing) for kind in ("full", "few", "val")},
        absent={kind: why for kind, why in absent.items() if kind != "balanced"},
    )


def _merged(config: ConfigDict, lists: list[Entries]) -> tuple[list[np.ndarray], ImageFiles, np.ndarray]:
    """Rows of each list, ascending, in the files of all of them together, the files, and their labels."""
    row_of: dict[str, int] = {}
    labels: list[int] = []
    first: list[tuple[int, int]] = []
    rows = []
    for k, entries in enumerate(lists):
        found = []
        for line, (path, label) in enumerate(zip(entries.paths, entries.labels), 1):
            row = row_of.setdefault(path, len(row_of))
            if row == len(labels):
                labels.append(label)
                first.append((k, line))
            elif labels[row] != label:
                where = f"{lists[first[row][0]].name}, line {first[row][1]}"
                raise ValueError(
                    f"{path} has class {label} in {entries.name}, line {line}, but {labels[row]} in {where}"
                )
            found.append(row)
        rows.append(np.unique(found))
    files = _files(config, list(row_of), lambda row: f"{lists[first[row][0]].name}, line {first[row][1]}")
    return rows, files, np.array(labels, np.int32)


def _files(config: ConfigDict, paths: list[str], origin: Callable[[int], str]) -> ImageFiles:
    files = ImageFiles(
        config.data_path,
        paths,
        origin=origin,
        canvas=config.canvas,
        resize=config.test_resize,
        size=config.view_size,
        threads=config.loader_threads,
    )
    files.check_present()
    return files


def class_folders(config: ConfigDict) -> Dataset:
    """Images in a folder for each class: `data_path`/train/CLASS and `data_path`/test/CLASS, or `data_path`/CLASS.

    Without test folders a fifth of each class is the test set, the same for every split. A tenth of the rest of each
    class validates. D_i is drawn from what is left along the exponential profile, from the split's number, with
    `imbalance` between the largest and the smallest class; `imbalance` = 0 takes the images as they are.
    """
    root = pathlib.Path(config.data_path)
    if not config.data_path or not root.is_dir():
        raise UserError(
            f"config.data_path is {config.data_path!r}, which is no folder; it holds a folder for each class"
        )
    parts = [f"{part}/" for part in ("train", "test") if (root / part).is_dir()]
    if len(parts) < 2:
        parts = [""]
    classes = _subfolders(root / parts[0])
    paths, labels = _class_files(root, parts[0], classes)
    rng = np.random.default_rng(0)
    every = np.arange(len(paths))
    if len(parts) == 2:
        test_paths, test_labels = _class_files(root, parts[1], classes)
        rest = every
    else:
        test = _share(labels, every, 0.2, rng)
        test_paths, test_labels, rest = [paths[row] for row in test], labels[test], np.setdiff1d(every, test)
    val = _share(labels, rest, 0.1, rng)
    pool = np.setdiff1d(rest, val)
    lists = _draw(config, labels, pool, len(classes))
    return Dataset(
        _files(config, paths, lambda row: "found in its class's folder"),
        labels,
        _files(config, test_paths, lambda row: "found in its class's folder"),
        test_labels,
        pretrain=lists.balanced if config.balanced else lists.imbalanced,
        long_tail=lists.imbalanced,
        full=pool,
        few=lists.few,
        val=val,
    )


def _subfolders(folder: pathlib.Path) -> list[str]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(names) < 3:
        raise UserError(f"{folder} has {len(names)} folders, {names}; it needs one for each of at least three classes")
    return names


def _class_files(root: pathlib.Path, part: str, classes: list[str]) -> tuple[list[str], np.ndarray]:
    """Relative paths, ordered by class and name, and labels int32."""
    paths, labels = [], []
    for label, name in enumerate(classes):
        folder = root / part / name
        names = sorted(os.listdir(folder)) if folder.is_dir() else []
        images = [f"{part}{name}/{file}" for file in names if pathlib.PurePath(file).suffix.lower() in SUFFIXES]
        if not images:
            raise UserError(f"{folder} has no image ({' '.join(sorted(SUFFIXES))})")
        paths += images
        labels += [label] * len(images)
    return paths, np.array(labels, np.int32)


def _share(labels: np.ndarray, pool: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A share of the images of each class, at least one, int64, ascending."""
    parts = []
    for c in np.unique(labels):
        images = pool[labels[pool] == c]
        parts.append(rng.permutation(images)[: max(1, int(share * len(images)))])
    return np.sort(np.concatenate(parts))


def _draw(config: ConfigDict, labels: np.ndarray, pool: np.ndarray, num_classes: int) -> LongTail:
    """The lists of the split."""
    counts = np.bincount(labels[pool], minlength=num_classes)
    smallest = int(counts.min())
    rng = np.random.default_rng(config.split)
    if smallest < 1:
        raise UserError(f"a class of {config.data_path} has no image left to train on; each needs at least three")
    if config.imbalance:
        sizes = profile(smallest, num_classes, config.imbalance)
        if sizes[-1] < 1:
            raise UserError(
                f"config.imbalance is {config.imbalance}, but a class has only {smallest} images to draw from; the "
                f"smallest class would have none. Lower it to at most {smallest}."
            )
        return make_long_tail(labels, pool, sizes, int(sizes[-1]), rng)
    few = balanced_draw(labels, pool, max(1, smallest // 10), rng)
    return LongTail(pool, balanced_draw(labels, pool, smallest, rng), few)
