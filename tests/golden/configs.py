"""The values of every config file, for every set of the words that it takes.

`collect` gives the values under "FILE" (no words) in full, and under "FILE:words" only those that differ from "FILE".
Values are Python literals (`1`, `1.0` and `(1,)` are three things). A file that is new in `configs/` needs a line in
WORDS.
"""

import importlib.util
import itertools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

FOLDER = pathlib.Path(__file__).parents[2] / "configs"
WORDS = {
    "sdclr_cifar100_lt": ("simclr", "balanced", "split=3", "smoke"),
    "sdclr_cifar10_lt": ("simclr", "balanced", "split=3", "smoke"),
    "sdclr_digits_lt": ("simclr", "balanced", "split=3", "seed=7", "smoke"),
    "sdclr_folder": ("simclr", "longtail=12.5", "balanced", "split=3", "smoke"),
    "sdclr_imagenet100_lt": ("simclr", "balanced", "smoke"),
    "sdclr_imagenet_lt": ("simclr", "exp", "balanced", "smoke"),
    "study_digits": ("smoke",),
    "study_rna": ("smoke",),
    "study_rooms": ("smoke",),
    "vmnet_meshes": ("shape", "smoke"),
    "vmnet_rooms": ("smoke",),
    "vmnet_scannet": ("smoke",),
}
DEFAULTS = {"sdclr": "sdclr_digits_lt", "pareto": "sdclr_imagenet_lt"}  # words that are what no word means


def collect() -> dict[str, dict[str, str]]:
    """{"FILE[:words]": {dotted key: value}}; see the module. Raises ValueError if words take a key away."""
    found = {}
    for name, words in WORDS.items():
        found[name] = base = values(name)
        for subset in _subsets(words):
            found[f"{name}:{subset}"] = _changes(f"{name}:{subset}", base, values(name, subset))
    for word, name in DEFAULTS.items():
        found[f"{name}:{word}"] = _changes(f"{name}:{word}", found[name], values(name, word))
    return found


def values(name: str, words: str = "") -> dict[str, str]:
    """{dotted key: value as a Python literal} of `configs/NAME.py:words`, sorted by key."""
    return dict(sorted(_flat(load(name, words).to_dict())))


def load(name: str, words: str = "") -> ConfigDict:
    """The config of `configs/NAME.py:words`."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(words)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping | ConfigDict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", repr(value)


def _subsets(words: tuple[str, ...]) -> Iterator[str]:
    """All non-empty subsets, comma-separated, each in the order of `words`."""
    for size in range(1, len(words) + 1):
        yield from (",".join(chosen) for chosen in itertools.combinations(words, size))


def _changes(what: str, base: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    if missing := base.keys() - given.keys():
        raise ValueError(f"{what} lacks {sorted(missing)}, which the config without words has")
    return {key: value for key, value in given.items() if base.get(key) != value}
