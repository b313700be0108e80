"""Settings out of their range are named at the start of a run."""

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from trainlib.core.text import did_you_mean
from trainlib.run.errors import UserError


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
        """For messages: "between 0 and 1", "at least 1", "above 0"."""
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
    for key in config:
        value, choice = config[key], (choices or {}).get(key)
        items = value if isinstance(value, tuple | list) else (value,)
        for item in items:
            if choice is not None and item not in choice:
                hint = did_you_mean(item, choice) if isinstance(item, str) else ""
                raise UserError(f"{_subject(key, value)}, known are {', '.join(map(str, choice))}{hint}")
            is_number = isinstance(item, int | float) and not isinstance(item, bool)
            allowed = ranges.get(key, Range())
            if key in ranges and not is_number:
                raise UserError(f"{_subject(key, value)}, it must be a number")
            if is_number and not (math.isfinite(item) and allowed.holds(item)):
                must = "all numbers must be" if isinstance(value, tuple | list) else "it must be"
                raise UserError(f"{_subject(key, value)}, {must} {allowed if math.isfinite(item) else Range()}")


def _subject(key: str, value: Any) -> str:
    return f"config.{key} is {value!r}"
