"""A data set of the images in a folder: with or without class folders, with or without parts such as `test`."""

import logging
import os
import pathlib
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from sdclr_jax.data.dataset import Dataset, from_lists
from sdclr_jax.data.image_files import image_suffixes, open_files, require_folder
from sdclr_jax.data.longtail import LongTail, balanced_draw, make_long_tail, profile
from trainlib.core.errors import UserError
from trainlib.core.text import did_you_mean, pluralize

_log = logging.getLogger(__name__)

NO_CLASS = -1
_open = partial(open_files, origin=lambda row: "found in config.data_path")
_SYSTEM_NAMES = frozenset(
    ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found", "icon\r")
)
# Formats with a mark at the start, by which a file without an ending is recognised.
_MARKED_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
_NAMES_SHOWN = 5
_TRAIN, _VAL, _TEST = ("train", "training"), ("val", "valid", "validation"), ("test", "testing")


class ImageTree(NamedTuple):
    """What is below a folder, as relative paths with "/", sorted in each folder. Links are followed.

    `images` have an ending that Pillow decodes, or none; `system` are hidden files and folders, and those that systems
    leave behind (`Thumbs.db`, `__MACOSX`); `broken` are links to nothing, `others` all other files. `folders` are all
    but hidden and system ones.
    """

    images: list[str]
    others: list[str]
    system: list[str]
    broken: list[str]
    folders: list[str]


class _Layout(NamedTuple):
    """Prefixes of the paths of each part, "" for the whole folder; None without such a part."""

    train: str
    val: str | None
    test: str | None


def find_images(root: str | os.PathLike) -> ImageTree:
    """Everything below the folder `root`. OSError for a folder that cannot be read."""
    tree = ImageTree([], [], [], [], [])

    def scan(folder: str, prefix: str, above: frozenset[str]) -> None:
        """Adds what is in a folder; `above` are the real paths of the folders it is in, against links in a circle."""
        real = os.path.realpath(folder)
        if real in above:
            return
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        folders = []
        for entry in ordered:
            if entry.name.startswith(".") or entry.name.lower() in _SYSTEM_NAMES:
                kind = tree.system
            elif entry.is_dir():
                kind = tree.folders
                folders.append(entry)
            elif entry.is_symlink() and not os.path.exists(entry.path):
                kind = tree.broken
            else:
                kind = tree.images if entry.is_file() and _is_image(entry) else tree.others
            kind.append(prefix + entry.name)
        for entry in folders:
            scan(entry.path, f"{prefix}{entry.name}/", above | {real})

    scan(os.fspath(root), "", frozenset())
    return tree


def _is_image(entry: os.DirEntry) -> bool:
    suffix = pathlib.PurePath(entry.name).suffix.lower()
    if suffix:
        return suffix in image_suffixes()
    try:
        with Image.open(entry.path, formats=_MARKED_FORMATS):
            return True
    except (OSError, SyntaxError, ValueError):
        return False


def _find_layout(root: pathlib.Path, images: Sequence[str]) -> _Layout:
    """Which images train, validate and test, from the names of the folders in `root`. Logs what was taken for what.

    `train` (or `training`) with `test` (`testing`), `val` (`valid`, `validation`), both or neither, in capitals or not.
    With `val` but without `test`, `val` is the test set, as ImageNet's. Without `train` all images train. UserError for
    two folders that may be the same part, or test images without training images.
    """
    tops: dict[str, list[str]] = {}
    for path in images:
        tops.setdefault(_class_of(path, ""), []).append(path)
    parts = []
    for names in (_TRAIN, _VAL, _TEST):
        found = [top for top in tops if top.lower() in names]
        if len(found) > 1:
            raise UserError(f"{root} has the folders {' and '.join(found)}; keep one, or rename the others")
        parts.append(found[0] if found else None)
    train, val, test = parts
    if train is None:
        _check_untrained(root, images, {name: tops[name] for name in (val, test) if name})
        return _Layout("", None, None)
    if not (val or test or len(tops) == 1 or all(path.count("/") > 1 for path in tops[train])):
        what = f"'{train}' is taken as a class, as the other folders of {root}"
        _log.warning("%s: none of them is 'test' or 'val'", what)
        return _Layout("", None, None)
    if val and not test:
        _log.warning(
            "%s has no folder 'test' next to '%s': the images in '%s' are the test set, and a tenth of each class in "
            "'%s' validates. If '%s' is meant to validate, add a folder 'test'.",
            *(root, train, val, train, val),
        )
        val, test = None, val
    unused = [path for name, paths in tops.items() if name not in (train, val, test) for path in paths]
    if unused:
        used = ", ".join(repr(name) for name in (train, val, test) if name)
        what = _named(unused, "image")
        _log.warning("not used: %s in no folder of %s that trains, validates or tests (%s)", what, root, used)
    return _Layout(*(None if name is None else f"{name}/" for name in (train, val, test)))


def _check_untrained(root: pathlib.Path, images: Sequence[str], parts: dict[str, list[str]]) -> None:
    """UserError if a folder named as a test set holds class folders, but none is named `train`."""
    for name, paths in parts.items():
        if all(path.count("/") > 1 for path in paths):
            raise UserError(
                f"{root} has the folder '{name}', with folders of images inside, but no image in a folder 'train'. "
                "Name the folder of the training images 'train', or set config.data_path to the folder that holds "
                "the class folders."
            )
    inner = [path for path in images if any(folder.lower() in _TEST for folder in path.split("/")[1:-1])]
    if inner:
        what = f"{_named(inner, 'image')} in a folder 'test' inside a class folder"
        _log.warning("%s may be trained on. For its own test set use test/CLASS next to train/CLASS.", what)


def _named(paths: Sequence[str], noun: str) -> str:
    """Such as "7 images (a.png, b.png, ...)"."""
    shown = ", ".join(paths[:_NAMES_SHOWN]) + (", ..." if len(paths) > _NAMES_SHOWN else "")
    return f"{pluralize(len(paths), noun)} ({shown})"


class _Part(NamedTuple):
    """The images of one part of the data: relative paths and labels int32 [N] (`NO_CLASS` without a class)."""

    paths: list[str]
    labels: np.ndarray


def image_folder(config: ConfigDict) -> Dataset:
    """The images in the folder `data_path`, at any depth.

    A folder directly below `data_path`, or below its `train`, is a class; images next to such folders have none and
    train only. `_find_layout` decides which folders train, validate and test. Without test folders a fifth of
    each class is the test set, the same for every split; without a folder that validates a tenth of the rest of each
    class does. A class keeps at least one image to train on. D_i are the images that are left, with `imbalance` = 0; or
    drawn from them along the exponential profile with `imbalance` between the largest and the smallest class, from the
    split's number.

    With fewer than two classes all images train, and nothing can be evaluated: the lists are `absent`.

    Logs the skipped files. Raises UserError if the folder is missing, has no image, or has a damaged file.
    """
    if not (config.imbalance == 0 or 1 <= config.imbalance < float("inf")):
        raise UserError(
            f"config.imbalance is {config.imbalance}; it must be 0, for the images as they are, or at least 1, the "
            "ratio of the largest to the smallest class"
        )
    root, tree = _find(require_folder(config, "data_path"))
    _log_unused(tree)
    layout = _find_layout(root, tree.images)
    used = tuple(prefix for prefix in layout if prefix is not None)
    _open(config, root, [path for path in tree.images if path.startswith(used)]).check_readable()
    classes = sorted({_class_of(path, layout.train) for path in tree.images if path.startswith(layout.train)} - {""})
    train = _part(tree, layout.train, classes)
    if len(classes) < 2:
        return _without_classes(config, root, layout, train, classes)
    return _with_classes(config, root, tree, layout, train=train, classes=classes)


def _find(root: pathlib.Path) -> tuple[pathlib.Path, ImageTree]:
    """The folder that holds the images, and what is in it: an only folder with further folders is entered."""
    tree = find_images(root)
    if not tree.images:
        others = f"; it has {_named(tree.others, 'other file')}" if tree.others else ""
        raise UserError(
            f"{root} has no image that Pillow reads (files that end in {' '.join(sorted(image_suffixes()))}){others}"
        )
    tops = {path.partition("/")[0] for path in tree.images}
    if len(tops) > 1 or any(path.count("/") < 2 for path in tree.images):
        return root, tree
    inner = root / tops.pop()
    _log.info("All images of %s are in %s, which is taken as config.data_path", root, inner)
    outside = ([path for path in paths if path.partition("/")[0] != inner.name] for paths in tree)
    _log_unused(ImageTree(*outside))
    return _find(inner)


def _log_unused(tree: ImageTree) -> None:
    """Counts and names the files and folders that are not used."""
    if tree.system:
        _log.info("skipped: %s", _named(tree.system, "hidden or system file"))
    if tree.others:
        endings = sorted({pathlib.PurePath(path).suffix.lower() or "no ending" for path in tree.others})
        heic = "; convert HEIC images to JPEG" if {".heic", ".heif"} & set(endings) else ""
        what = _named(tree.others, "file")
        _log.warning("not used: %s that Pillow does not read as an image (%s)%s", what, ", ".join(endings), heic)
    if tree.broken:
        _log.warning("not used: %s to files that do not exist", _named(tree.broken, "link"))
    filled = {str(folder) for path in tree.images for folder in pathlib.PurePosixPath(path).parents}
    empty = [name for name in tree.folders if name not in filled]
    empty = [name for name in empty if str(pathlib.PurePosixPath(name).parent) in filled]
    if empty:
        _log.warning("not used: %s without an image", _named(empty, "folder"))


def _class_of(path: str, prefix: str) -> str:
    """The folder directly below a prefix that an image is in, "" for none."""
    name, slash, _ = path.removeprefix(prefix).partition("/")
    return name if slash else ""


def _part(tree: ImageTree, prefix: str, classes: Sequence[str]) -> _Part:
    """The images below a prefix, by class, images of no class last."""
    label_of = {name: label for label, name in enumerate(classes)}
    paths = [path for path in tree.images if path.startswith(prefix)]
    labels = np.array([label_of.get(_class_of(path, prefix), NO_CLASS) for path in paths], np.int32)
    order = np.argsort(np.where(labels == NO_CLASS, len(classes), labels), kind="stable")
    return _Part([paths[k] for k in order], labels[order])


def _labelled(tree: ImageTree, prefix: str, classes: Sequence[str]) -> _Part:
    """The images of validation or test. Images of other classes than the training's are counted and skipped."""
    part = _part(tree, prefix, classes)
    known = int((part.labels != NO_CLASS).sum())
    mismatched = part.paths[known:]
    if mismatched:
        folders = sorted({_class_of(path, prefix) for path in mismatched} - {""})
        hints = [f"{name!r}{did_you_mean(name, classes)}" for name in folders]
        which = f"classes without training images: {', '.join(hints)}" if folders else "no class folder"
        _log.warning("not used: %s of %s", _named(mismatched, "image"), which)
    return _Part(part.paths[:known], part.labels[:known])


def _without_classes(
    config: ConfigDict, root: pathlib.Path, layout: _Layout, train: _Part, classes: Sequence[str]
) -> Dataset:
    """All images train; nothing is drawn from them."""
    what = f"one class folder, {classes[0]!r}" if classes else "no class folders"
    why = f"{root / layout.train} has {what}; evaluation needs a folder for each of at least two classes"
    if config.imbalance or config.balanced:
        raise UserError(f"{why}, and so do longtail (config.imbalance) and balanced")
    ignored = ", ".join(name for name in (layout.val, layout.test) if name)
    without = f", none of {ignored}" if ignored else ""
    _log.warning("%s. Training uses all %s%s", why, pluralize(len(train.paths), "image"), without)
    nothing, files = np.zeros(0, np.int64), _open(config, root, train.paths)
    arrays = (files, train.labels, files[nothing], np.zeros(0, np.int32))
    dataset = from_lists(config, arrays, LongTail(nothing, nothing, nothing), nothing, nothing)
    absent = dict.fromkeys(("long_tail", "full", "few", "val", "test"), why)
    return dataset._replace(pretrain=np.arange(len(train.paths)), absent=absent, class_names=tuple(classes))


def _with_classes(
    config: ConfigDict, root: pathlib.Path, tree: ImageTree, layout: _Layout, *, train: _Part, classes: list[str]
) -> Dataset:
    rng = np.random.default_rng(0)
    paths, labels = train
    pool, loose = np.flatnonzero(labels != NO_CLASS), np.flatnonzero(labels == NO_CLASS)
    if layout.test is None:
        rows = _share(labels, pool, 0.2, rng)
        test, pool = _Part([paths[row] for row in rows], labels[rows]), np.setdiff1d(pool, rows)
    else:
        test = _labelled(tree, layout.test, classes)
    if layout.val is None:
        val = _share(labels, pool, 0.1, rng)
        pool = np.setdiff1d(pool, val)
    else:
        given = _labelled(tree, layout.val, classes)
        val = np.arange(len(paths), len(paths) + len(given.paths))
        paths, labels = paths + given.paths, np.concatenate([labels, given.labels])
    arrays = (_open(config, root, paths), labels, _open(config, root, test.paths), test.labels)
    lists = _draw(config, labels, pool, classes)
    dataset = from_lists(config, arrays, lists, pool, val)._replace(class_names=tuple(classes))
    if len(loose):
        what = f"{_named([paths[k] for k in loose], 'image')} directly in {root / layout.train}, in no class folder"
        if config.imbalance or config.balanced:
            _log.warning("not used: %s; longtail and balanced draw from classes", what)
        else:
            _log.warning("%s: trained on, but not evaluated", what)
            dataset = dataset._replace(pretrain=np.union1d(dataset.pretrain, loose))
    untested = np.setdiff1d(np.arange(len(classes)), test.labels).tolist()
    _log_parts(layout, test, val, [classes[k] for k in untested])
    absent = {} if test.paths else {"test": f"no class of {root} has an image to test on"}
    absent |= {} if len(val) else {"val": f"no class of {root} has one to validate"}
    return dataset._replace(absent=absent, untested=tuple(untested))


def _log_parts(layout: _Layout, test: _Part, val: np.ndarray, untested: list[str]) -> None:
    tested = f"in {layout.test}" if layout.test else "a fifth of each class"
    validated = f"in {layout.val}" if layout.val else "a tenth of the rest"
    counts = pluralize(len(test.paths), "test image"), pluralize(len(val), "validation image")
    _log.info("%s (%s) and %s (%s) are not trained on", counts[0], tested, counts[1], validated)
    if untested and test.paths:
        _log.warning("%s without a test image; evaluation leaves them out", _named(untested, "class"))


def _share(labels: np.ndarray, pool: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A share of the images of each class, at least one, but never all of them: int64, ascending."""
    parts = []
    for c in np.unique(labels[pool]):
        images = pool[labels[pool] == c]
        count = min(max(1, int(share * len(images))), len(images) - 1)
        parts.append(rng.permutation(images)[:count])
    return np.sort(np.concatenate(parts))


def _draw(config: ConfigDict, labels: np.ndarray, pool: np.ndarray, classes: Sequence[str]) -> LongTail:
    """The lists of the split."""
    counts = np.bincount(labels[pool], minlength=len(classes))
    smallest = int(counts.min())
    rng = np.random.default_rng(config.split)
    if config.imbalance:
        sizes = profile(smallest, len(classes), config.imbalance)
        if sizes[-1] < 1:
            raise UserError(
                f"config.imbalance is {config.imbalance}, but the class {classes[int(counts.argmin())]!r} has only "
                f"{smallest} images to draw from; the smallest class would have none. Lower it to at most {smallest}, "
                "or set it to 0 for the images as they are."
            )
        return make_long_tail(labels, pool, sizes, int(sizes[-1]), rng)
    few = balanced_draw(labels, pool, max(1, smallest // 10), rng)
    return LongTail(pool, balanced_draw(labels, pool, smallest, rng), few)
