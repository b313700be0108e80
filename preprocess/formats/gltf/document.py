"""Checked access to the JSON part of a glTF file: every number, list and reference is tested where it is read."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from preprocess.formats.text_numbers import EXPORT_AGAIN

_LARGEST = 2**53


class GltfError(ValueError):
    """The content of a glTF file cannot be used: why, and what to do about it. `read_glb` adds the file's name."""

    def __init__(self, cause: str, remedy: str = EXPORT_AGAIN):
        super().__init__(cause)
        self.cause, self.remedy = cause, remedy


def quoted(text: str, length: int = 80) -> str:
    """Text of a file for a message: quoted, in ASCII, at most `length` characters."""
    return ascii(text[:length])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object, low: int = 0) -> bool:
    return _is_number(value) and abs(value) <= _LARGEST and value == int(value) and value >= low


def _to_float(value: int | float) -> float:
    """The number; whole numbers beyond float64 are infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


@dataclass(frozen=True)
class Entry:
    """An object of the JSON part. Its methods raise GltfError for a field of another type.

    Attributes:
        fields: the object.
        place: where it is, for messages: "accessor 3", "mesh 0, primitive 1".
    """

    fields: dict
    place: str

    def __contains__(self, key: str) -> bool:
        """Whether the field exists; null counts as missing."""
        return self.fields.get(key) is not None

    def integer(self, key: str, default: int | None = None, low: int = 0) -> int:
        """A whole number of `low` or more. Without a default the field is required."""
        return int(self._get(key, default, lambda value: _is_whole(value, low), f"a whole number of {low} or more"))

    def number(self, key: str, default: float) -> float:
        """A number, finite or not."""
        return _to_float(self._get(key, default, _is_number, "made of numbers"))

    def numbers(self, key: str, lengths: tuple[int, ...] = (), default: tuple[float, ...] = ()) -> np.ndarray:
        """Float64 [N] with N among `lengths`, any N if there are none; the default where the field is missing."""
        wanted = " ".join(["a list of", " or ".join(map(str, lengths)), "numbers"])
        self._get(key, (), lambda value: isinstance(value, list) and len(value) in (lengths or [len(value)]), wanted)
        items = self._get(key, default, lambda value: all(map(_is_number, value)), "made of numbers")
        return np.array([_to_float(item) for item in items], np.float64)

    def integers(self, key: str) -> list[int]:
        """A list of whole numbers from 0; empty where the field is missing."""
        return self._list(key, lambda item: type(item) is int and _is_whole(item), "a list of whole numbers")

    def text(self, key: str, default: str = "") -> str:
        """A string."""
        return self._get(key, default, lambda value: isinstance(value, str), "text")

    def texts(self, key: str) -> list[str]:
        """A list of texts; empty where the field is missing."""
        return self._list(key, lambda item: isinstance(item, str), "a list of texts")

    def flag(self, key: str) -> bool:
        """A truth value, False if absent."""
        return self._get(key, False, lambda value: isinstance(value, bool), "true or false")

    def entry(self, key: str) -> "Entry":
        """An object; an empty one where the field is missing."""
        return Entry(self._get(key, {}, lambda value: isinstance(value, dict), "an object"), self._place(key))

    def entries(self, key: str, noun: str) -> list["Entry"]:
        """A list of objects, empty where the field is missing; their places are "`noun` 0", "`noun` 1" and so on."""
        objects = self._list(key, lambda item: isinstance(item, dict), "a list of objects")
        return [Entry(item, self._place(f"{noun} {number}")) for number, item in enumerate(objects)]

    def extension(self, name: str) -> "Entry | None":
        """The object of the extension of that name, or None."""
        extensions = self.entry("extensions")
        return Entry(extensions.entry(name).fields, self._place(name)) if name in extensions else None

    def _place(self, inside: str) -> str:
        return f"{self.place}, {inside}" if self.place else inside

    def _list(self, key: str, fits: Callable[[Any], bool], wanted: str) -> list:
        return self._get(key, [], lambda value: isinstance(value, list) and all(map(fits, value)), wanted)

    def _get(self, key: str, default: object, fits: Callable[[Any], bool], wanted: str) -> Any:
        """The value of a field if it fits, the default where it is missing."""
        value = self.fields.get(key)
        if value is None and default is None:
            raise GltfError(f"{self.place or 'the file'} has no `{key}`")
        if value is not None and not fits(value):
            shown = {dict: "an object", list: "a list"}.get(type(value)) or quoted(str(value), 30)
            raise GltfError(f"{self.place or 'the file'}: `{key}` is {shown}, not {wanted}")
        return default if value is None else value


class Document:
    """The JSON part of a file: its lists of objects, and the references into them."""

    def __init__(self, root: dict):
        self.root = Entry(root, "")
        self._lists: dict[str, list[Entry]] = {}

    def all(self, kind: str) -> list[Entry]:
        """All objects of a kind ("accessors", "meshes", ...)."""
        if kind not in self._lists:
            self._lists[kind] = self.root.entries(kind, _noun(kind))
        return self._lists[kind]

    def at(self, kind: str, index: int, origin: str) -> Entry:
        """The object of that number. `origin` is what names it, for messages."""
        if index >= len(self.all(kind)):
            raise GltfError(f"{origin} names {_noun(kind)} {index}, but the file has {len(self.all(kind))} of them")
        return self.all(kind)[index]

    def named(self, kind: str, entry: Entry, key: str) -> Entry:
        """The object whose number is in the field `key` of `entry`."""
        return self.at(kind, entry.integer(key), f"`{key}` of {entry.place or 'the file'}")


def _noun(kind: str) -> str:
    return "mesh" if kind == "meshes" else kind.removesuffix("s")
