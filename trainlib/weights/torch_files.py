"""PyTorch's weight files without PyTorch: zip archives (since 1.6), the older stream, and safetensors.

Files are read as data; see `torch_pickle`. Written are zip archives that `torch.load` takes, also with
`weights_only=True`.
"""

import io
import json
import os
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from trainlib.core.errors import UserError
from trainlib.core.files import write_atomic
from trainlib.weights.torch_pickle import STORAGE_DTYPES, TensorView, UnsafePickle, read_pickle

STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_SAFETENSORS_DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "I64": np.int64,
    "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
_LONGEST_HEADER = 100_000_000
_DAMAGE = (
    ValueError, LookupError, TypeError, AttributeError, EOFError, OverflowError, struct.error, zipfile.BadZipFile,
    RuntimeError,  # zipfile's, for encrypted entries and versions to come
)  # fmt: skip


def require_readable(path: str | os.PathLike) -> pathlib.Path:
    """The path. Raises UserError if there is no such file, or if it may not be read."""
    path = pathlib.Path(path)
    try:
        path.open("rb").close()
    except OSError as error:
        raise _unreadable(path, error) from error
    return path


def _unreadable(path: pathlib.Path, error: OSError) -> UserError:
    return UserError(f"{path}: cannot be read: {error.strerror}")


def read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The weights [...] of a file by name: of a bare state_dict, or of the largest one inside a checkpoint's dicts.

    A leading `module.` of all names (DistributedDataParallel) is dropped.

    Raises:
        UserError: not a weight file, a damaged one, or one with more than tensors, numbers and strings. Nothing of it
            is ever executed.
    """
    path = require_readable(path)
    try:
        with path.open("rb") as file:
            tensors = _read_any(file)
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnsafePickle as error:
        raise UserError(
            f"{path}: not read, it holds {error}. Only tensors, numbers, strings, lists and dicts are accepted: in "
            "PyTorch, torch.save(model.state_dict(), FILE) writes such a file."
        ) from error
    except _DAMAGE as error:
        raise UserError(f"{path}: a damaged weight file, or none: {error}") from error
    if not tensors:
        raise UserError(f"{path}: holds no named tensors")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): array for name, array in tensors.items()}
    return tensors


def _read_any(file: BinaryIO) -> dict[str, np.ndarray]:
    start = file.read(9)
    file.seek(0)
    if start.startswith(b"PK\x03\x04"):
        return _read_zip(file)
    if start[:1] == b"\x80":
        return _read_stream(file)
    if len(start) == 9 and struct.unpack("<Q", start[:8])[0] <= _LONGEST_HEADER and start[8:] == b"{":
        return _read_safetensors(file)
    raise ValueError(f"it begins with {start!r}, which is neither PyTorch's zip or stream format nor safetensors")


def _read_zip(file: BinaryIO) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        roots = [name.removesuffix("data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ValueError(f"{len(roots)} entries data.pkl in the archive, PyTorch writes one")

        def entry(name: str) -> bytes:
            found = archive.getinfo(roots[0] + name)
            if found.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its entry {name} is compressed, which PyTorch never does")
            return archive.read(found)

        if roots[0] + "byteorder" in archive.namelist() and entry("byteorder") != b"little":
            raise ValueError("its numbers are big-endian")
        views = _largest(read_pickle(entry("data.pkl")))
        storages = {}
        for storage in {view.storage for view in views.values()}:
            data = entry(f"data/{storage.key}")
            if len(data) != storage.length * storage.dtype.itemsize:
                raise ValueError(f"storage {storage.key}: {len(data)} bytes for {storage.length} {storage.dtype}")
            storages[storage] = np.frombuffer(data, storage.dtype)
    return {name: view.read(storages[view.storage]) for name, view in views.items()}


def _read_stream(file: BinaryIO) -> dict[str, np.ndarray]:
    if read_pickle(file) != STREAM_MAGIC:
        raise ValueError("a pickle, but not one of PyTorch's")
    read_pickle(file)  # version of the format
    if read_pickle(file).get("little_endian") is not True:
        raise ValueError("its numbers are big-endian")
    tree, keys = read_pickle(file), read_pickle(file)
    views, size = _largest(tree), os.fstat(file.fileno()).st_size
    declared = {node.storage.key: node.storage for node in _nodes(tree) if isinstance(node, TensorView)}
    storages = {}
    for key in keys:
        storage, (length,) = declared[key], struct.unpack("<q", file.read(8))
        needed = storage.length * storage.dtype.itemsize
        if length != storage.length or needed > size - file.tell():
            raise ValueError(f"storage {key} needs {needed} bytes, {size - file.tell()} are left in the file")
        storages[storage] = np.frombuffer(file.read(needed), storage.dtype)
    return {name: view.read(storages[view.storage]) for name, view in views.items()}


def _read_safetensors(file: BinaryIO) -> dict[str, np.ndarray]:
    (length,) = struct.unpack("<Q", file.read(8))
    header, data = json.loads(file.read(length)), file.read()
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        dtype, shape = np.dtype(_SAFETENSORS_DTYPES[entry["dtype"]]), tuple(entry["shape"])
        count = int(np.prod(shape, dtype=object)) if shape else 1
        if not 0 <= begin <= end <= len(data) or count * dtype.itemsize != end - begin:
            raise ValueError(f"{name}: bytes {begin} to {end} of {len(data)} for {entry['dtype']} {shape}")
        tensors[name] = np.frombuffer(data[begin:end], dtype).reshape(shape)
    return tensors


def _nodes(tree: Any) -> Iterator[Any]:
    """All dicts, lists, tuples and tensors of a tree, each once."""
    waiting, seen = [tree], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen or not isinstance(node, (dict, list, tuple)):
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, dict):
            waiting.extend(node.values())
        elif not isinstance(node, TensorView):
            waiting.extend(node)


def _largest(tree: Any) -> dict[str, TensorView]:
    """The tensors of the dict that has the most of them by name."""
    dicts = [node for node in _nodes(tree) if isinstance(node, dict)]
    named = [{k: v for k, v in d.items() if isinstance(k, str) and isinstance(v, TensorView)} for d in dicts]
    return max(named, key=len, default={})


def write_tensors(path: str | os.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes a state_dict that `torch.load(path)` reads; the file appears whole or not at all.

    Args:
        path: the file, by custom `.pt`.
        tensors: arrays [...] by name, of the dtypes of `torch_pickle.STORAGE_DTYPES`.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", _state_dict_pickle(arrays))
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{key}", array.tobytes())
        archive.writestr("archive/version", "3\n")
    write_atomic(pathlib.Path(path), buffer.getvalue())


def _state_dict_pickle(arrays: Mapping[str, np.ndarray]) -> bytes:
    """PyTorch's pickle of an OrderedDict of tensors."""
    names = {np.dtype(dtype): name for name, dtype in STORAGE_DTYPES.items()}
    out = [pickle.PROTO + b"\x02", _global("collections", "OrderedDict"), b")R", pickle.MARK]
    for key, (name, array) in enumerate(arrays.items()):
        strides = tuple(stride // array.itemsize for stride in array.strides)
        out += [_text(name), _global("torch._utils", "_rebuild_tensor_v2"), pickle.MARK]
        out += [pickle.MARK, _text("storage"), _global("torch", names[array.dtype]), _text(str(key)), _text("cpu")]
        out += [_integer(array.size), pickle.TUPLE, pickle.BINPERSID, _integer(0)]
        out += [_integers(array.shape), _integers(strides), pickle.NEWFALSE]
        out += [_global("collections", "OrderedDict"), b")R", pickle.TUPLE, pickle.REDUCE]
    return b"".join([*out, pickle.SETITEMS, pickle.STOP])


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    encoded = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _integer(value: int) -> bytes:
    small = value < 2**31
    return pickle.BININT + struct.pack("<i", value) if small else pickle.LONG1 + b"\x08" + struct.pack("<q", value)


def _integers(values: tuple[int, ...]) -> bytes:
    return pickle.MARK + b"".join(map(_integer, values)) + pickle.TUPLE
