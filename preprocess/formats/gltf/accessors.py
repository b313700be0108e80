"""Arrays of a glTF 2.0 file: buffers, buffer views and accessors, each checked against the available bytes."""

import base64
import binascii
import urllib.parse

import numpy as np

from preprocess.formats.gltf.document import Document, Entry, GltfError, quoted

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
