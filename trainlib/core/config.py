"""Config files and their words, `configs/NAME.py:words`; settings that are out of range are named at the start."""

import ast
import importlib.util
import math
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from trainlib.core.errors import UsageError, UserError
from trainlib.core.text import did_you_mean


def parse_words(argument: str | None, known: Mapping[str, Any]) -> dict[str, Any]:
    """Reads a config argument such as "simclr,split=2,smoke".

    Args:
        argument: words comma-separated; None or "" is none.
        known: name -> default. A word whose default is False is a switch ("smoke" gives True); any other takes a value
            of the default's type ("split=2"); a tuple is a choice whose first is the default, each a word by itself.

    Returns:
        name -> value for every known name.

    Raises:
        UsageError: an unknown word, with the list of known ones.
    """
    values = {name: default[0] if isinstance(default, tuple) else default for name, default in known.items()}
    choices = {word: name for name, default in known.items() if isinstance(default, tuple) for word in default}
    words = [*choices, *(name for name, default in known.items() if not isinstance(default, tuple))]
    seen: set[str] = set()
    for item in filter(None, (argument or "").split(",")):
        word, equals, text = item.strip().partition("=")
        name = choices.get(word, word)
        takes_value = word in known and known[word] is not False
        if word not in words or bool(equals) != takes_value:
            hint = did_you_mean(word, words) if word not in words else ""
            raise UsageError(f"config argument {item!r} is not known; known: {_known_words(known)}{hint}")
        if name in seen:
            raise UsageError(f"config argument {item!r} sets {name!r} a second time")
        seen.add(name)
        values[name], kind = word if word in choices else True, type(known[name])
        if takes_value:
            try:
                values[name] = kind(text)
            except ValueError:
                raise UsageError(f"config argument {name}={text!r} needs a value of type {kind.__name__}") from None
    return values


def load_config_file(path: str, settings: Sequence[str] = ()) -> ConfigDict:
    """The config of `configs/NAME.py:words`, for programs without `run_main`.

    Args:
        settings: values of keys, "KEY=VALUE"; a value is read as Python where it is not text (`True`, `0.3`, `(1, 2)`).

    Raises:
        UsageError: there is no such file, key or value.
    """
    file, _, words = path.partition(":")
    require_config_file(pathlib.Path(file))
    spec = importlib.util.spec_from_file_location(pathlib.Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config(words)
    for setting in settings:
        key, _, text = setting.partition("=")
        if key not in config:
            raise UsageError(f"{setting!r}: {file} has no key {key!r}{did_you_mean(key, config)}")
        try:
            value = text if isinstance(config[key], str) else ast.literal_eval(text)
            config.update_from_flattened_dict({key: value})
        except (KeyError, TypeError, ValueError, SyntaxError) as error:
            raise UsageError(f"{setting!r} sets no key of {file} to a value of its type") from error
    return config


def require_config_file(path: pathlib.Path) -> None:
    """Raises UsageError, with the files that there are, if a config file is missing."""
    if path.is_file():
        return
    by_name: dict[str, str] = {}
    for folder in (path.parent, pathlib.Path("configs"), pathlib.Path(__file__).parents[2] / "configs"):
        found = sorted(file for file in folder.glob("*.py") if file.name != "__init__.py")
        by_name = by_name or {file.name: str(file) for file in found}
    listed = f"; there are {', '.join(by_name.values())}" if by_name else ""
    raise UsageError(f"there is no config file {path}{did_you_mean(path.name, by_name)}{listed}")


class Range(NamedTuple):
    """The numbers from `least` to `most`; without the ends where `above` and `below` are True."""

    least: float = -math.inf
    most: float = math.inf
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        """Whether a finite number is in the range."""
        low = value > self.least if self.above else value >= self.least
        return low and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        """The range for messages: "between 0 and 1", "at least 1", "above 0"."""
        if self == Range():
            return "a finite number"
        if self.most == math.inf:
            return f"above {self.least:g}" if self.above else f"at least {self.least:g}"
        ends = [f"{end:g}" for end, is_open in ((self.least, self.above), (self.most, self.below)) if is_open]
        return f"between {self.least:g} and {self.most:g}{f', not {ends[0]}' if ends else ''}"


POSITIVE, COUNT, NATURAL, NOT_NEGATIVE = Range(0, above=True), Range(1), Range(0), Range(0)
SHARE, BELOW_ONE, SEED = Range(0, 1), Range(0, 1, below=True), Range(0, 2**32 - 1)


def check_settings(
    config: ConfigDict, ranges: Mapping[str, Range], choices: Mapping[str, Collection[Any]] | None = None
) -> None:
    """Raises UserError for the first setting that is out of its range or none of its choices.

    A tuple is checked number by number, and a tuple of words word by word. Numbers without a range must be finite.

    Args:
        config: settings that it lacks are not checked: they have defaults.
        ranges: key -> the numbers that are allowed.
        choices: key -> the values that are allowed.
    """
    for key, value in config.items():
        subject, choice, allowed = f"config.{key} is {value!r}", (choices or {}).get(key), ranges.get(key, Range())
        for item in value if isinstance(value, tuple | list) else (value,):
            if choice is not None and item not in choice:
                hint = did_you_mean(item, choice) if isinstance(item, str) else ""
                raise UserError(f"{subject}, known are {', '.join(map(str, choice))}{hint}")
            is_number = isinstance(item, int | float) and not isinstance(item, bool)
            if key in ranges and not is_number:
                raise UserError(f"{subject}, it must be a number")
            if is_number and not (math.isfinite(item) and allowed.holds(item)):
                must = "all numbers must be" if isinstance(value, tuple | list) else "it must be"
                raise UserError(f"{subject}, {must} {allowed if math.isfinite(item) else Range()}")


def _known_words(known: Mapping[str, Any]) -> str:
    words = []
    for name, default in known.items():
        if isinstance(default, tuple):
            words.append("|".join(default))
        else:
            words.append(name if default is False else f"{name}=<{type(default).__name__}>")
    return ", ".join(words)
