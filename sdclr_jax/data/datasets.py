"""Labelled images and the lists that an experiment draws from them; labels serve the evaluation alone."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from sdclr_jax.data.cifar import RELEASES, read_cifar, require_prepared, require_release
from sdclr_jax.data.dataset import Dataset, check_dataset, from_lists
from sdclr_jax.data.image_files import require_folder
from sdclr_jax.data.image_folders import image_folder
from sdclr_jax.data.image_lists import list_folders, text_lists
from sdclr_jax.data.longtail import CifarLists, balanced_draw, cifar_lists, make_long_tail, profile
from sdclr_jax.default_config import MARKS
from trainlib.core.errors import UserError
from trainlib.core.text import did_you_mean
from trainlib.run.workdir import load_config, require_settings


def load_dataset(config: ConfigDict) -> Dataset:
    """The images and lists that a config names.

    Keys: `dataset`, `data_path`, `lists` (folder of the authors' lists; of CIFAR empty draws lists by the same rules),
    `split`, `balanced` (D_b instead of D_i), `train_limit` (number of random images of the list; 0 for all). Image
    files have more keys, see `image_lists` and `image_folders`.

    Raises UserError for a name that is not known, ValueError or OSError for files that do not fit.
    """
    dataset = _source(config).read(config)
    if config.train_limit:
        order = np.random.default_rng(config.split).permutation(dataset.pretrain)
        dataset = dataset._replace(pretrain=np.sort(order[: config.train_limit]))
    return check_dataset(dataset)


def require_data(config: ConfigDict) -> None:
    """Raises what `load_dataset` raises for an unknown name or a missing folder. Reads nothing."""
    _source(config).require(config)


def require_run(workdir: str | os.PathLike) -> None:
    """Raises UserError unless `workdir` is of a run of this system, and what `require_data` raises for its images."""
    config = load_config(workdir)
    require_settings(config, MARKS, f"the run in {workdir}", "sdclr_jax")
    require_data(config)


class Source(NamedTuple):
    """Where images come from.

    Attributes:
        read: the images of a config, with their lists.
        require: raises UserError or ValueError if a folder that the config names is missing.
    """

    read: Callable[[ConfigDict], Dataset]
    require: Callable[[ConfigDict], Any]


def _source(config: ConfigDict) -> Source:
    """The source that `config.dataset` names. Raises UserError for an unknown one."""
    if config.dataset not in SOURCES:
        hint = did_you_mean(str(config.dataset), SOURCES)
        raise UserError(f"config.dataset is {config.dataset!r}, known are {', '.join(SOURCES)}{hint}")
    return SOURCES[config.dataset]


def digits(config: ConfigDict) -> Dataset:
    """Scikit-learn's handwritten digits (UCI, 1,797 images of 8 x 8), grey as RGB.

    Per class 40 test and 12 validation images; D_i has 120 .. 6 images of a class, S_b 6.
    """
    from sklearn.datasets import load_digits  # scikit-learn takes seconds to import

    source = load_digits()
    grey = np.round(source.images * (255 / 16)).astype(np.uint8)
    images, labels = np.repeat(grey[..., None], 3, axis=-1), source.target.astype(np.int32)
    rng = np.random.default_rng(0)
    test = balanced_draw(labels, np.arange(len(labels)), 40, rng)
    rest = np.setdiff1d(np.arange(len(labels)), test)
    val = balanced_draw(labels, rest, 12, rng)
    pool = np.setdiff1d(rest, val)
    lists = make_long_tail(labels, pool, profile(120, 10, 20), 6, np.random.default_rng(config.split))
    return from_lists(config, (images, labels, images[test], labels[test]), lists, pool, val)


def cifar(config: ConfigDict) -> Dataset:
    """CIFAR-10-LT or CIFAR-100-LT, imbalance 100: 5,000 images validate, D_i has 4500 .. 45 or 450 .. 4 of a class."""
    arrays = read_cifar(config.dataset, _cifar_path(config))
    return _named_cifar(config, arrays, cifar_lists(config.dataset, arrays[1], config.lists, config.split))


def _cifar_path(config: ConfigDict) -> str:
    if not config.data_path:
        raise UserError("set config.data_path to the official binary files of CIFAR (docs/sdclr/paper.md)")
    return config.data_path


def prepared_cifar(config: ConfigDict) -> Dataset:
    """CIFAR-10-LT or CIFAR-100-LT out of the folder that `python -m sdclr_jax.tfds_prepare` has written."""
    from sdclr_jax.data.tfds_builders import read_prepared  # TensorFlow Datasets takes a second to import

    return _named_cifar(config, *read_prepared(config.data_path, config.split))


def _named_cifar(config: ConfigDict, arrays: tuple, lists: CifarLists) -> Dataset:
    """CIFAR's images with the names of the release that has their number of classes."""
    dataset, names = from_lists(config, arrays, *lists), {len(r.class_names): r.class_names for r in RELEASES.values()}
    return dataset._replace(class_names=names[dataset.num_classes])


_CIFAR = Source(cifar, lambda config: require_release(config.dataset, _cifar_path(config)))
_LISTED = Source(text_lists, list_folders)
SOURCES = {
    "digits": Source(digits, lambda config: None),
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "tfds": Source(prepared_cifar, lambda config: require_prepared(config.data_path)),
    "imagenet": _LISTED,
    "imagenet100": _LISTED,
    "folder": Source(image_folder, lambda config: require_folder(config, "data_path")),
}
