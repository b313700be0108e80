"""Data sets of image files that text lists name, as the authors' for ImageNet."""

import itertools
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from sdclr_jax.data.dataset import Dataset
from sdclr_jax.data.image_files import ImageFiles
from trainlib.core.errors import UserError
from trainlib.core.text import read_text

TRAIN_LISTS = ("imbalanced", "balanced", "full", "few", "val")
_CLASSES_SHOWN = 10


class Entries(NamedTuple):
    """A text list: relative paths, their classes, the numbers of their lines, and the file."""

    paths: list[str]
    labels: list[int]
    lines: list[int]
    file: pathlib.Path

    def origin(self, entry: int) -> str:
        """Where an entry is: the file's name and the line."""
        return f"{self.file.name}, line {self.lines[entry]}"


def read_text_list(path: pathlib.Path) -> Entries:
    """Lines of `relative/path label`, in any encoding that `trainlib.core.text` reads; empty lines are skipped.

    Raises ValueError with the file, and with the number of the line that is something else.
    """
    entries = Entries([], [], [], path)
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        if not name or not (label.isascii() and label.isdecimal()):
            raise ValueError(f"{path}, line {number}: {line!r} is not 'relative/path label' with a class from 0 on")
        entries.paths.append(name.rstrip())
        entries.labels.append(int(label))
        entries.lines.append(number)
    if not entries.paths:
        raise ValueError(f"{path} names no image")
    return entries


def text_lists(config: ConfigDict) -> Dataset:
    """Images below `data_path`, named by the lists in the folder `lists`.

    They are `list_imbalanced` (D_i), `list_balanced` (D_b), `list_full`, `list_few` (S_b), `list_val` and `list_test`.
    Training needs D_i, and D_b if `balanced` is set. A missing list is `absent` from the data set.
    """
    folders = {key: require_folder(config, key) for key in ("data_path", "lists")}
    lists, absent = {}, {}
    for kind in (*TRAIN_LISTS, "test"):
        path = folders["lists"] / config[f"list_{kind}"]
        if path.is_file():
            lists[kind] = read_text_list(path)
        else:
            absent[kind] = f"there is no list {path} (config.list_{kind})"
    for kind in ("imbalanced", "balanced") if config.balanced else ("imbalanced",):
        if kind in absent:
            raise UserError(f"{absent[kind]}; pre-training needs it")
    train = [lists[kind] for kind in TRAIN_LISTS if kind in lists]
    _check_classes(train, lists.get("test"))
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
        class_names=_folder_names(lists["imbalanced"], int(labels.max()) + 1),
    )


def _folder_names(entries: Entries, num_classes: int) -> tuple[str, ...]:
    """The classes' names where every class of the list has one folder, and every folder one class; else ()."""
    pairs = {(label, path.rpartition("/")[0]) for path, label in zip(entries.paths, entries.labels)}
    names = [folder.rpartition("/")[2] for _, folder in sorted(pairs)]
    if len(pairs) == len(set(names)) == num_classes and all(names):
        return tuple(names)
    return ()


def require_folder(config: ConfigDict, key: str) -> pathlib.Path:
    """The folder that `config[key]` names. UserError if there is none."""
    path = pathlib.Path(config[key]).expanduser()
    if not config[key]:
        raise UserError(f"config.{key} is empty; set it to a folder, see docs/sdclr.md")
    if path.is_file():
        raise UserError(f"config.{key} is {config[key]!r}, which is a file; unpack an archive and name the folder")
    if not path.is_dir():
        raise UserError(f"config.{key} is {config[key]!r}, which is not a folder; see docs/sdclr.md")
    return path


def _check_classes(train: list[Entries], test: Entries | None) -> None:
    """UserError unless the training lists have every class 0 .. C - 1, and the test list the same ones."""
    found = sorted(set().union(*(entries.labels for entries in train)))
    known, files = set(found), ", ".join(str(entries.file) for entries in train)
    if found[-1] >= len(found):
        gaps = itertools.islice((label for label in range(found[-1]) if label not in known), _CLASSES_SHOWN)
        raise UserError(
            f"{files}: {len(found)} classes, numbered {found[0]} .. {found[-1]}; no image of {_classes(list(gaps))}. "
            "Classes are numbered from 0 without gaps; renumber them in all lists."
        )
    if test is None:
        return
    unknown = sorted(set(test.labels) - known)
    if unknown:
        where = test.origin(test.labels.index(unknown[0]))
        raise UserError(
            f"{test.file}: {_classes(unknown)} (first in {where}) in no training list; these have classes "
            f"0 .. {found[-1]} ({files})"
        )
    missing = sorted(known - set(test.labels))
    if missing:
        raise UserError(
            f"{test.file}: no test image of {_classes(missing)}; the training lists have the classes "
            f"0 .. {found[-1]}. Is the list cut off, or are its classes not numbered from 0?"
        )


def _classes(numbers: list[int]) -> str:
    """Such as "class 0" or "classes 1, 2, 3"."""
    shown = ", ".join(map(str, numbers[:_CLASSES_SHOWN])) + (", ..." if len(numbers) >= _CLASSES_SHOWN else "")
    return f"class{'es' if len(numbers) > 1 else ''} {shown}"


def _merged(config: ConfigDict, lists: list[Entries]) -> tuple[list[np.ndarray], ImageFiles, np.ndarray]:
    """Rows of each list, ascending, in the files of all of them together, the files, and their labels."""
    row_of: dict[str, int] = {}
    labels: list[int] = []
    first: list[tuple[int, int]] = []
    rows = []

    def origin(row: int) -> str:
        k, entry = first[row]
        return lists[k].origin(entry)

    for k, entries in enumerate(lists):
        found = []
        for entry, (path, label) in enumerate(zip(entries.paths, entries.labels)):
            row = row_of.setdefault(path, len(row_of))
            if row == len(labels):
                labels.append(label)
                first.append((k, entry))
            elif labels[row] != label:
                raise ValueError(
                    f"{path} has class {label} in {entries.origin(entry)}, but {labels[row]} in {origin(row)}"
                )
            found.append(row)
        rows.append(np.unique(found))
    files = open_files(config, require_folder(config, "data_path"), list(row_of), origin)
    files.check_present()
    return rows, files, np.array(labels, np.int32)


def open_files(
    config: ConfigDict, root: pathlib.Path, paths: Sequence[str], origin: Callable[[int], str]
) -> ImageFiles:
    """Image files below `root`, decoded as the config asks; see `ImageFiles` for paths and origin.

    `exif_orientation` rotates them by their EXIF data; a config without that key does not, as torchvision.
    """
    return ImageFiles(
        root,
        paths,
        origin=origin,
        canvas=config.canvas,
        resize=config.test_resize,
        size=config.view_size,
        threads=config.loader_threads,
        upright=config.get("exif_orientation", False),
    )
