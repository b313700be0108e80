"""What a folder of images holds, at any depth: images, what is skipped, and how it is laid out."""

import logging
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image

from sdclr_jax.data.image_files import image_suffixes
from trainlib.core.errors import UserError
from trainlib.core.text import pluralize

_log = logging.getLogger(__name__)

_SYSTEM_NAMES = frozenset(
    ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found", "icon\r")
)
# Formats with a mark at the start, by which a file without an ending is recognised.
_MARKED_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
_NAMES_SHOWN = 5
_TRAIN, _VAL, _TEST = ("train", "training"), ("val", "valid", "validation"), ("test", "testing")


class ImageTree(NamedTuple):
    """The files below a folder, as relative paths with "/", sorted in each folder. Links are followed.

    Attributes:
        images: files with an ending that Pillow decodes, and images without an ending.
        others: all other files.
        system: hidden files and folders, and those that systems leave behind (`Thumbs.db`, `__MACOSX`).
        broken: links to nothing.
        folders: all folders but hidden and system ones.
    """

    images: list[str]
    others: list[str]
    system: list[str]
    broken: list[str]
    folders: list[str]


class FolderLayout(NamedTuple):
    """Prefixes of the paths of each part, "" for the whole folder; None without such a part."""

    train: str
    val: str | None
    test: str | None


def find_images(root: str | os.PathLike) -> ImageTree:
    """Everything below the folder `root`. OSError for a folder that cannot be read."""
    tree = ImageTree([], [], [], [], [])
    _scan(pathlib.Path(root), "", tree, frozenset())
    return tree


def _scan(folder: pathlib.Path, prefix: str, tree: ImageTree, above: frozenset[str]) -> None:
    """Adds what is in a folder; `above` are the real paths of the folders it is in, against links in a circle."""
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    folders = []
    for entry in ordered:
        path = prefix + entry.name
        if entry.name.startswith(".") or entry.name.lower() in _SYSTEM_NAMES:
            tree.system.append(path)
        elif entry.is_dir():
            folders.append(entry)
        elif entry.is_symlink() and not os.path.exists(entry.path):
            tree.broken.append(path)
        elif entry.is_file() and _is_image(entry):
            tree.images.append(path)
        else:
            tree.others.append(path)
    tree.folders.extend(prefix + entry.name for entry in folders)
    for entry in folders:
        _scan(folder / entry.name, f"{prefix}{entry.name}/", tree, above | {real})


def _is_image(entry: os.DirEntry) -> bool:
    suffix = pathlib.PurePath(entry.name).suffix.lower()
    if suffix:
        return suffix in image_suffixes()
    try:
        with Image.open(entry.path, formats=_MARKED_FORMATS):
            return True
    except (OSError, SyntaxError, ValueError):
        return False


def find_layout(root: str | os.PathLike, images: Sequence[str]) -> FolderLayout:
    """Which images train, validate and test, from the names of the folders. Logs what was taken for what.

    `train` (or `training`) with `test` (`testing`), `val` (`valid`, `validation`), both or neither, in capitals or not.
    With `val` but without `test`, `val` is the test set, as ImageNet's. Without `train` all images train.

    Args:
        root: the folder, for messages.
        images: relative paths.

    Raises:
        UserError: two folders that may be the same part, or test images without training images.
    """
    tops: dict[str, list[str]] = {}
    for path in images:
        top, slash, _ = path.partition("/")
        tops.setdefault(top if slash else "", []).append(path)
    parts = []
    for names in (_TRAIN, _VAL, _TEST):
        found = [top for top in tops if top.lower() in names]
        if len(found) > 1:
            raise UserError(f"{root} has the folders {' and '.join(found)}; keep one, or rename the others")
        parts.append(found[0] if found else None)
    train, val, test = parts
    if train is None:
        for name in filter(None, (val, test)):
            if all(path.count("/") > 1 for path in tops[name]):
                raise UserError(
                    f"{root} has the folder '{name}', with folders of images inside, but no image in a folder 'train'. "
                    "Name the folder of the training images 'train', or set config.data_path to the folder that holds "
                    "the class folders."
                )
        inner = [path for path in images if any(folder.lower() in _TEST for folder in path.split("/")[1:-1])]
        if inner:
            _log.warning(
                "%s in a folder 'test' inside a class folder may be trained on. For its own test set use test/CLASS "
                "next to train/CLASS.",
                named(inner, "image"),
            )
        return FolderLayout("", None, None)
    if not (val or test or len(tops) == 1 or all(path.count("/") > 1 for path in tops[train])):
        _log.warning(
            "'%s' is taken as a class, as the other folders of %s: none of them is 'test' or 'val'", train, root
        )
        return FolderLayout("", None, None)
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
        what = named(unused, "image")
        _log.warning("not used: %s in no folder of %s that trains, validates or tests (%s)", what, root, used)
    return FolderLayout(*(None if name is None else f"{name}/" for name in (train, val, test)))


def single_folder(images: Sequence[str]) -> str | None:
    """The only folder that holds images, if all of them are in folders inside it; None otherwise."""
    tops = {path.partition("/")[0] for path in images}
    return tops.pop() if len(tops) == 1 and all(path.count("/") > 1 for path in images) else None


def named(paths: Sequence[str], noun: str) -> str:
    """Such as "7 images (a.png, b.png, ...)"."""
    shown = ", ".join(paths[:_NAMES_SHOWN]) + (", ..." if len(paths) > _NAMES_SHOWN else "")
    return f"{pluralize(len(paths), noun)} ({shown})"
