"""Checked access to a glTF 2.0 file: every number, list and reference of its JSON part, and every array, is tested."""

import base64
import binascii
import math
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from preprocess.formats.text_numbers import EXPORT_AGAIN

COMPRESSIONS = {
    "KHR_draco_mesh_compression": "Draco compression",
    "EXT_meshopt_compression": "meshopt compression",
    "KHR_meshopt_compression": "meshopt compression",
}
WITHOUT_COMPRESSION = "Export it again without compression."
_MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
_CUT_OFF = "The file was cut off or is damaged; copy or export it again."
_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_ZEROS = 2**20
"""An accessor without data may have this many bytes, or the file's number of bytes."""


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
    return _is_number(value) and abs(value) <= 2**53 and value == int(value) and value >= low


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


class Accessors:
    """Reads the arrays of a document.

    Args:
        document: the JSON part.
        binary: the BIN chunk, or None where there is none.
        size: bytes of the file, the bound of what an accessor may declare.
    """

    def __init__(self, document: Document, binary: memoryview | None, size: int):
        self.document, self._binary, self._size = document, binary, size
        self._decoded: dict[str, memoryview] = {}

    def named(self, holder: Entry, key: str) -> Entry:
        """The accessor whose number is in the field `key` of `holder`."""
        return self.document.named("accessors", holder, key)

    def count(self, accessor: Entry) -> int:
        """Number of elements, after a check that the file is large enough for them."""
        count = accessor.integer("count")
        needed = count * _dtype(accessor).itemsize * _width(accessor)
        if needed > (self._size if "bufferView" in accessor else max(self._size, _ZEROS)):
            raise GltfError(f"{accessor.place} declares {needed} bytes, the file has {self._size}", _CUT_OFF)
        return count

    def read(self, accessor: Entry, kinds: tuple[str, ...], normalized: bool | None = None) -> np.ndarray:
        """The elements of an accessor, sparse values put in; zeros where it names no data (glTF 2.0, 3.6.2).

        Args:
            accessor: entry of `accessors`.
            kinds: the values of `type` that are accepted.
            normalized: whether integers stand for -1 to 1 or 0 to 1; None follows the accessor.

        Returns:
            [count, components]: float64 where integers are normalised, else the file's number type. It may be a view of
            the file: do not write to it.

        Raises:
            GltfError: the accessor or its buffer breaks the format.
        """
        kind = accessor.text("type")
        if kind not in kinds:
            raise GltfError(f"{accessor.place} is of type {quoted(kind, 20)}, not {' or '.join(kinds)}")
        count, dtype, width = self.count(accessor), _dtype(accessor), _WIDTHS[kind]
        if "bufferView" in accessor:
            values = self._elements(accessor, count, dtype, width)
        else:
            values = np.zeros((count, width), dtype)
        if "sparse" in accessor:
            values = self._with_sparse(accessor, values)
        declared = accessor.flag("normalized")
        if dtype.kind == "f" or not (declared if normalized is None else normalized):
            return values
        return np.maximum(values / float(np.iinfo(dtype).max), -1.0)

    def read_indices(self, accessor: Entry) -> np.ndarray:
        """Vertex numbers of a primitive, unsigned [N]."""
        _index_dtype(accessor)
        return self.read(accessor, ("SCALAR",), normalized=False)[:, 0]

    def holder_bytes(self, holder: Entry) -> memoryview:
        """All bytes of the data: URI or else of the buffer view that `holder` names, an image for example."""
        return self._uri_bytes(holder) if "uri" in holder else self._view_bytes(holder)

    def _view_bytes(self, holder: Entry) -> memoryview:
        view = self.document.named("bufferViews", holder, "bufferView")
        data = self._buffer(view)
        start, length = view.integer("byteOffset", 0), view.integer("byteLength")
        if start + length > len(data):
            raise GltfError(f"{view.place} ends at byte {start + length} of a buffer of {len(data)}", _CUT_OFF)
        return data[start : start + length]

    def _uri_bytes(self, entry: Entry) -> memoryview:
        """The bytes of the data: URI in the field `uri`. A URI that names a file is refused: a GLB is one file."""
        if entry.place in self._decoded:
            return self._decoded[entry.place]
        uri = entry.text("uri")
        head, comma, body = uri.partition(",")
        if head[:5].lower() != "data:":
            remedy = "Export it as one GLB with all data inside."
            raise GltfError(f"{entry.place} is in another file, {quoted(uri)}", remedy)
        if not comma:
            raise GltfError(f"{entry.place} has a data: URI without data, {quoted(uri)}")
        content = urllib.parse.unquote_to_bytes(body.encode("utf-8", "replace"))
        if head.lower().rstrip().endswith(";base64"):
            content = b"".join(content.split())
            try:
                content = base64.b64decode(content + b"=" * (-len(content) % 4))
            except binascii.Error as error:
                raise GltfError(f"{entry.place} has a data: URI that is not base64 ({error})", _CUT_OFF) from None
        self._decoded[entry.place] = memoryview(content)
        return self._decoded[entry.place]

    def _buffer(self, view: Entry) -> memoryview:
        buffer = self.document.named("buffers", view, "buffer")
        if "uri" in buffer:
            data = self._uri_bytes(buffer)
        elif self._binary is not None and view.integer("buffer") == 0 and not _is_fallback(buffer):
            data = self._binary
        else:
            for name in _MESHOPT:
                if view.extension(name) is not None:
                    raise GltfError(f"{view.place} has {COMPRESSIONS[name]} ({name}), not read", WITHOUT_COMPRESSION)
            raise GltfError(f"{buffer.place} has no data in the file", _CUT_OFF)
        length = buffer.integer("byteLength", low=1)
        if length > len(data):
            raise GltfError(f"{buffer.place} declares {length} bytes, the file has {len(data)} for it", _CUT_OFF)
        return data[:length]

    def _elements(self, holder: Entry, count: int, dtype: np.dtype, width: int) -> np.ndarray:
        """[count, width] of the buffer view that `holder` names, from its byteOffset on, without a copy."""
        if count == 0:
            return np.zeros((0, width), dtype)
        view = self.document.named("bufferViews", holder, "bufferView")
        data = self._view_bytes(holder)
        offset, element = holder.integer("byteOffset", 0), dtype.itemsize * width
        stride = view.integer("byteStride", element, low=element)
        end = offset + stride * (count - 1) + element
        if end > len(data):
            raise GltfError(f"{holder.place} ends at byte {end} of {view.place}, which has {len(data)}", _CUT_OFF)
        return np.ndarray((count, width), dtype, data, offset, (stride, dtype.itemsize))

    def _with_sparse(self, accessor: Entry, values: np.ndarray) -> np.ndarray:
        """A copy of the values with the substitutes of `sparse` in their rows."""
        sparse = accessor.entry("sparse")
        count, indices = sparse.integer("count", low=1), sparse.entry("indices")
        if count > len(values):
            raise GltfError(f"{sparse.place} replaces {count} of {len(values)} elements")
        rows = self._elements(indices, count, _index_dtype(indices), 1)[:, 0]
        if rows.max() >= len(values):
            raise GltfError(f"{sparse.place} replaces element {rows.max()}, but the last is {len(values) - 1}")
        replaced = values.copy()
        replaced[rows] = self._elements(sparse.entry("values"), count, values.dtype, values.shape[1])
        return replaced


def _is_fallback(buffer: Entry) -> bool:
    """Whether a buffer only stands for what a decompression would write."""
    return any((extension := buffer.extension(name)) is not None and extension.flag("fallback") for name in _MESHOPT)


def _dtype(accessor: Entry) -> np.dtype:
    code = accessor.integer("componentType")
    if code not in _TYPES:
        raise GltfError(f"{accessor.place}: componentType {code} is none of {', '.join(map(str, _TYPES))}")
    return np.dtype(_TYPES[code])


def _index_dtype(holder: Entry) -> np.dtype:
    dtype = _dtype(holder)
    if dtype.kind != "u":
        raise GltfError(f"{holder.place}: indices of componentType {holder.integer('componentType')}, not unsigned")
    return dtype


def _width(accessor: Entry) -> int:
    kind = accessor.text("type")
    if kind not in _WIDTHS:
        raise GltfError(f"{accessor.place} is of type {quoted(kind, 20)}, not one of {', '.join(_WIDTHS)}")
    return _WIDTHS[kind]
