"""Data sets of image files that text lists name, as the authors' for ImageNet."""

import itertools
import pathlib
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from sdclr_jax.data.dataset import Dataset, from_lists
from sdclr_jax.data.image_files import ImageFiles, open_files, require_folder
from sdclr_jax.data.longtail import LongTail
from trainlib.core.errors import UserError
from trainlib.core.text import read_text

TRAIN_LISTS = ("imbalanced", "balanced", "full", "few", "val")
_CLASSES_SHOWN = 10


class Entry(NamedTuple):
    """A line of a text list: relative path, class, the file, and the line's number."""

    path: str
    label: int
    file: pathlib.Path
    line: int

    @property
    def origin(self) -> str:
        """The file's name and the line, for messages."""
        return f"{self.file.name}, line {self.line}"


def read_text_list(path: pathlib.Path) -> list[Entry]:
    """Lines of `relative/path label`, in any encoding that `trainlib.core.text` reads; empty lines are skipped.

    Raises ValueError with the file, and with the number of the line that is something else.
    """
    entries = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        if not name or not (label.isascii() and label.isdecimal()):
            raise ValueError(f"{path}, line {number}: {line!r} is not 'relative/path label' with a class from 0 on")
        entries.append(Entry(name.rstrip(), int(label), path, number))
    if not entries:
        raise ValueError(f"{path} names no image")
    return entries


def list_folders(config: ConfigDict) -> tuple[pathlib.Path, pathlib.Path]:
    """The folders of the images and of the lists. Raises UserError if one is missing."""
    return require_folder(config, "data_path"), require_folder(config, "lists")


def text_lists(config: ConfigDict) -> Dataset:
    """Images below `data_path`, named by the lists in the folder `lists`.

    They are `list_imbalanced` (D_i), `list_balanced` (D_b), `list_full`, `list_few` (S_b), `list_val` and `list_test`.
    Training needs D_i, and D_b if `balanced` is set. A missing list is `absent` from the data set.
    """
    root, folder = list_folders(config)
    files = {kind: folder / config[f"list_{kind}"] for kind in (*TRAIN_LISTS, "test")}
    lists = {kind: read_text_list(path) for kind, path in files.items() if path.is_file()}
    absent = {k: f"there is no list {path} (config.list_{k})" for k, path in files.items() if k not in lists}
    for kind in ("imbalanced", "balanced") if config.balanced else ("imbalanced",):
        if kind in absent:
            raise UserError(f"{absent[kind]}; pre-training needs it")
    test = lists.pop("test", [])
    _check_classes(list(lists.values()), test)
    rows, images, labels = _merged(config, root, lists)
    _, test_images, test_labels = _merged(config, root, {"test": test} if test else {})
    imbalanced, balanced, full, few, val = (rows.get(kind, np.zeros(0, np.int64)) for kind in TRAIN_LISTS)
    arrays = (images, labels, test_images, test_labels)
    return from_lists(config, arrays, LongTail(imbalanced, balanced, few), full, val)._replace(
        absent={kind: why for kind, why in absent.items() if kind != "balanced"},
        class_names=_folder_names(lists["imbalanced"], int(labels.max()) + 1),
    )


def _folder_names(entries: list[Entry], num_classes: int) -> tuple[str, ...]:
    """The classes' names where every class of the list has one folder, and every folder one class; else ()."""
    pairs = {(entry.label, entry.path.rpartition("/")[0]) for entry in entries}
    names = [folder.rpartition("/")[2] for _, folder in sorted(pairs)]
    return tuple(names) if len(pairs) == len(set(names)) == num_classes and all(names) else ()


def _check_classes(train: list[list[Entry]], test: list[Entry]) -> None:
    """UserError unless the training lists have every class 0 .. C - 1, and a test list the same ones."""
    known, files = {entry.label for entries in train for entry in entries}, ", ".join(str(e[0].file) for e in train)
    last = max(known)
    if last >= len(known):
        gaps = itertools.islice((label for label in range(last) if label not in known), _CLASSES_SHOWN)
        raise UserError(
            f"{files}: {len(known)} classes, numbered {min(known)} .. {last}; no image of {_classes(list(gaps))}. "
            "Classes are numbered from 0 without gaps; renumber them in all lists."
        )
    tested = {entry.label for entry in test}
    unknown = sorted(tested - known)
    if unknown:
        where = next(entry.origin for entry in test if entry.label == unknown[0])
        raise UserError(
            f"{test[0].file}: {_classes(unknown)} (first in {where}) in no training list; these have classes "
            f"0 .. {last} ({files})"
        )
    missing = sorted(known - tested)
    if test and missing:
        raise UserError(
            f"{test[0].file}: no test image of {_classes(missing)}; the training lists have the classes "
            f"0 .. {last}. Is the list cut off, or are its classes not numbered from 0?"
        )


def _classes(numbers: list[int]) -> str:
    """Such as "class 0" or "classes 1, 2, 3"."""
    shown = ", ".join(map(str, numbers[:_CLASSES_SHOWN])) + (", ..." if len(numbers) >= _CLASSES_SHOWN else "")
    return f"class{'es' if len(numbers) > 1 else ''} {shown}"


def _merged(
    config: ConfigDict, root: pathlib.Path, lists: dict[str, list[Entry]]
) -> tuple[dict[str, np.ndarray], ImageFiles, np.ndarray]:
    """Rows of each list, ascending, in the files of all of them together, the files, and their labels."""
    first: dict[str, Entry] = {}
    for entry in itertools.chain(*lists.values()):
        known = first.setdefault(entry.path, entry)
        if known.label != entry.label:
            raise ValueError(
                f"{entry.path} has class {entry.label} in {entry.origin}, but {known.label} in {known.origin}"
            )
    row_of, entries = {path: row for row, path in enumerate(first)}, list(first.values())
    rows = {kind: np.unique([row_of[entry.path] for entry in found]) for kind, found in lists.items()}
    files = open_files(config, root, list(first), lambda row: entries[row].origin)
    files.check_present()
    return rows, files, np.array([entry.label for entry in entries], np.int32)
