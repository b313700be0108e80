"""Checked access to the JSON part of a glTF file: every number, list and reference is tested where it is read."""

import math
from dataclasses import dataclass

import numpy as np

EXPORT_AGAIN = "Export it again, or convert it to PLY."
_LARGEST = 2**53


class GltfError(ValueError):
    """The content of a glTF file cannot be used: why, and what to do about it. `read_glb` adds the file's name."""

    def __init__(self, cause: str, remedy: str = EXPORT_AGAIN):
        super().__init__(cause)
        self.cause, self.remedy = cause, remedy


def quoted(text: str, length: int = 80) -> str:
    """Text of a file for a message: quoted, in ASCII, at most `length` characters."""
    return ascii(text[:length])


@dataclass(frozen=True)
class Entry:
    """An object of the JSON part.

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
        value = self._get(key, default)
        whole = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST
        if not whole or value != int(value) or value < low:
            raise self._wrong(key, f"a whole number of {low} or more")
        return int(value)

    def number(self, key: str, default: float) -> float:
        """A number, finite or not."""
        return self._number(key, self._get(key, default))

    def numbers(self, key: str, lengths: tuple[int, ...] = (), default: tuple[float, ...] = ()) -> np.ndarray:
        """Float64 [N] with N among `lengths`, any N if there are none; the default where the field is missing."""
        value = self._get(key, list(default))
        if not isinstance(value, list) or (key in self and lengths and len(value) not in lengths):
            raise self._wrong(key, " ".join(["a list of", " or ".join(map(str, lengths)), "numbers"]))
        return np.array([self._number(key, item) for item in value], np.float64)

    def integers(self, key: str) -> list[int]:
        """A list of whole numbers from 0; empty where the field is missing."""
        value = self._get(key, [])
        if not isinstance(value, list) or not all(type(item) is int and 0 <= item <= _LARGEST for item in value):
            raise self._wrong(key, "a list of whole numbers")
        return value

    def text(self, key: str, default: str = "") -> str:
        """A string. Raises GltfError for another type."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "text")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of texts; empty where the field is missing."""
        value = self._get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, "a list of texts")
        return value

    def flag(self, key: str) -> bool:
        """A truth value, False if absent. Raises GltfError for another type."""
        value = self._get(key, False)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def entry(self, key: str) -> "Entry":
        """An object; an empty one where the field is missing."""
        value = self._get(key, {})
        if not isinstance(value, dict):
            raise self._wrong(key, "an object")
        return Entry(value, f"{self._before()}{key}")

    def entries(self, key: str, noun: str) -> list["Entry"]:
        """A list of objects, empty where the field is missing; their places are "`noun` 0", "`noun` 1" and so on."""
        value = self._get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(key, "a list of objects")
        return [Entry(item, f"{self._before()}{noun} {number}") for number, item in enumerate(value)]

    def extension(self, name: str) -> "Entry | None":
        """The object of the extension of that name, or None."""
        extensions = self.entry("extensions")
        return Entry(extensions.entry(name).fields, f"{self._before()}{name}") if name in extensions else None

    def _before(self) -> str:
        return f"{self.place}, " if self.place else ""

    def _get(self, key: str, default: object) -> object:
        if key in self:
            return self.fields[key]
        if default is None:
            raise GltfError(f"{self.place or 'the file'} has no `{key}`")
        return default

    def _number(self, key: str, value: object) -> float:
        """A value of the field as float; whole numbers beyond float64 are infinite."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, "made of numbers")
        return float(value) if isinstance(value, float) or abs(value) < 2**1023 else math.copysign(math.inf, value)

    def _wrong(self, key: str, wanted: str) -> GltfError:
        value = self.fields[key]
        shown = {dict: "an object", list: "a list"}.get(type(value)) or quoted(str(value), 30)
        return GltfError(f"{self.place or 'the file'}: `{key}` is {shown}, not {wanted}")


_NOUNS = {
    "accessors": "accessor",
    "buffers": "buffer",
    "bufferViews": "bufferView",
    "images": "image",
    "materials": "material",
    "meshes": "mesh",
    "nodes": "node",
    "samplers": "sampler",
    "scenes": "scene",
    "skins": "skin",
    "textures": "texture",
    "animations": "animation",
}


class Document:
    """The JSON part of a file: its lists of objects, and the references into them."""

    def __init__(self, root: dict):
        self.root = Entry(root, "")
        self._lists: dict[str, list[Entry]] = {}

    def all(self, kind: str) -> list[Entry]:
        """All objects of a kind ("accessors", "meshes", ...)."""
        if kind not in self._lists:
            self._lists[kind] = self.root.entries(kind, _NOUNS[kind])
        return self._lists[kind]

    def at(self, kind: str, index: int, origin: str) -> Entry:
        """The object of that number. `origin` is what names it, for messages."""
        if index >= len(self.all(kind)):
            raise GltfError(f"{origin} names {_NOUNS[kind]} {index}, but the file has {len(self.all(kind))} of them")
        return self.all(kind)[index]

    def named(self, kind: str, entry: Entry, key: str) -> Entry:
        """The object whose number is in the field `key` of `entry`."""
        return self.at(kind, entry.integer(key), f"`{key}` of {entry.place or 'the file'}")
