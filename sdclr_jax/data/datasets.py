"""Labelled images and the lists that an experiment draws from them; labels serve the evaluation alone."""

from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict
from sklearn.datasets import load_digits

from sdclr_jax.data.cifar import RELEASES, read_cifar
from sdclr_jax.data.dataset import Dataset, check_dataset, from_lists
from sdclr_jax.data.image_folders import image_folder
from sdclr_jax.data.image_lists import text_lists
from sdclr_jax.data.longtail import CifarLists, balanced_draw, cifar_lists, make_long_tail, profile
from trainlib.core.errors import UserError
from trainlib.core.text import did_you_mean


def load_dataset(config: ConfigDict) -> Dataset:
    """The images and lists that a config names.

    Keys: `dataset`, `data_path`, `lists` (folder of the authors' lists; of CIFAR empty draws lists by the same rules),
    `split`, `balanced` (D_b instead of D_i), `train_limit` (number of random images of the list; 0 for all). Image
    files have more keys, see `image_lists` and `image_folders`.

    Raises UserError for a name that is not known, ValueError or OSError for files that do not fit.
    """
    if config.dataset not in SOURCES:
        hint = did_you_mean(str(config.dataset), SOURCES)
        raise UserError(f"config.dataset is {config.dataset!r}, known are {', '.join(SOURCES)}{hint}")
    dataset = SOURCES[config.dataset](config)
    if config.train_limit:
        order = np.random.default_rng(config.split).permutation(dataset.pretrain)
        dataset = dataset._replace(pretrain=np.sort(order[: config.train_limit]))
    return check_dataset(dataset)


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
    return from_lists(config, (images, labels, images[test], labels[test]), lists, pool, val)


def cifar(config: ConfigDict) -> Dataset:
    """CIFAR-10-LT or CIFAR-100-LT, imbalance 100: 5,000 images validate, D_i has 4500 .. 45 or 450 .. 4 of a class."""
    if not config.data_path:
        raise UserError("set config.data_path to the official binary files of CIFAR (docs/sdclr/paper.md)")
    arrays = read_cifar(config.dataset, config.data_path)
    return _named_cifar(config, arrays, cifar_lists(config.dataset, arrays[1], config.lists, config.split))


def prepared_cifar(config: ConfigDict) -> Dataset:
    """CIFAR-10-LT or CIFAR-100-LT out of the folder that `python -m sdclr_jax.tfds_prepare` has written."""
    from sdclr_jax.data.tfds_builders import read_prepared  # TensorFlow Datasets takes a second to import

    return _named_cifar(config, *read_prepared(config.data_path, config.split))


def _named_cifar(config: ConfigDict, arrays: tuple, lists: CifarLists) -> Dataset:
    """CIFAR's images with the names of the release that has their number of classes."""
    dataset, names = from_lists(config, arrays, *lists), {len(r.class_names): r.class_names for r in RELEASES.values()}
    return dataset._replace(class_names=names[dataset.num_classes])


SOURCES: dict[str, Callable[[ConfigDict], Dataset]] = {
    "digits": digits,
    "cifar10": cifar,
    "cifar100": cifar,
    "tfds": prepared_cifar,
    "imagenet": text_lists,
    "imagenet100": text_lists,
    "folder": image_folder,
}
