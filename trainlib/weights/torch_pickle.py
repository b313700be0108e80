"""Reads the pickles inside PyTorch's weight files as data: an own interpreter of the few opcodes that tensors need.

Nothing is imported and nothing of the file is called. A name such as `torch._utils._rebuild_tensor_v2` is looked up in
a fixed table of functions written here; every other name, and every opcode outside the table, is an error.
`pickle.Unpickler` with allow-lists does not serve: a memo index in a hostile pickle of 7 bytes makes it allocate 2 GiB.
"""

import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

STORAGE_DTYPES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


class UnsafePickle(ValueError):
    """The pickle holds something other than tensors, numbers, strings, lists and dicts."""


class Storage(NamedTuple):
    """A block of numbers that tensors look into: its key in the file, type and length in elements."""

    key: str
    dtype: np.dtype
    length: int


class TensorView(NamedTuple):
    """A tensor as a pickle names it: its place in its storage, in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """The tensor, copied out of its storage's numbers [length]. Raises UnsafePickle if it reaches outside."""
        sizes = (self.offset, *self.shape, *self.strides)
        if any(not isinstance(n, int) or n < 0 for n in sizes) or len(self.shape) != len(self.strides):
            raise UnsafePickle(f"a tensor with offset {self.offset}, shape {self.shape}, strides {self.strides}")
        count = int(np.prod(self.shape, dtype=object)) if self.shape else 1
        last = self.offset + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides))
        if count and (last >= len(numbers) or count > len(numbers)):
            raise UnsafePickle(f"a tensor of shape {self.shape} reaches element {last} of a storage of {len(numbers)}")
        if not count:
            return np.zeros(self.shape, numbers.dtype)
        steps = [stride * numbers.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, steps).copy()


class _StorageType(NamedTuple):
    dtype: np.dtype


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> TensorView:
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise UnsafePickle("a tensor without storage, shape and strides")
    return TensorView(storage, offset, shape, strides)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
    "collections OrderedDict": dict,
}
_NAMES: dict[str, Any] = _FUNCTIONS | {
    f"torch {name}": _StorageType(np.dtype(dtype)) for name, dtype in STORAGE_DTYPES.items()
}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING",
}  # fmt: skip
_MARK = object()


class _Machine:
    """The pickle machine's stack and memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, opcode: str, value: Any) -> None:
        """Carries out one opcode."""
        stack = self.stack
        if opcode in _VALUES:
            stack.append(value)
        elif opcode in _EMPTY:
            stack.append(_EMPTY[opcode]())
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        elif opcode == "MARK":
            stack.append(_MARK)
        elif opcode in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[int(value)] = stack[-1]
        elif opcode == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[int(value)])
        elif opcode in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(opcode[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif opcode in ("TUPLE", "LIST"):
            stack.append({"TUPLE": tuple, "LIST": list}[opcode](self._marked()))
        elif opcode == "DICT":
            stack.append(_pairs(self._marked()))
        elif opcode in ("SETITEMS", "SETITEM"):
            items = self._marked() if opcode == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _require(stack[-1], dict).update(_pairs(items))
        elif opcode in ("APPENDS", "APPEND"):
            items = self._marked() if opcode == "APPENDS" else [stack.pop()]
            _require(stack[-1], list).extend(items)
        elif opcode in ("GLOBAL", "STACK_GLOBAL"):
            if opcode == "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                value = f"{module} {name}"
            if value not in _NAMES:
                raise UnsafePickle(f"the name {value.replace(' ', '.')}")
            stack.append(_NAMES[value])
        elif opcode == "REDUCE":
            arguments, function = _require(stack.pop(), tuple), stack.pop()
            if function not in _FUNCTIONS.values():
                raise UnsafePickle("something other than a tensor is built")
            stack.append(function(*arguments))
        elif opcode == "BUILD":  # attributes of an OrderedDict (`_metadata` of a state_dict) are skipped
            _require(stack.pop(), dict)
            _require(stack[-1], dict)
        elif opcode == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif opcode not in ("PROTO", "FRAME", "STOP"):
            raise UnsafePickle(f"the opcode {opcode}")

    def _marked(self) -> list[Any]:
        """Pops everything above the last mark, and the mark."""
        place = next((k for k in reversed(range(len(self.stack))) if self.stack[k] is _MARK), None)
        if place is None:
            raise IndexError("no mark on the stack")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items


def _pairs(items: list[Any]) -> dict:
    return dict(zip(items[::2], items[1::2], strict=True))


def _storage(found: Any) -> Storage:
    match found:
        case ("storage", _StorageType(dtype), str(key), str(), int(length), *_) if length >= 0:
            return Storage(key, dtype, length)
    raise UnsafePickle(f"the persistent id {found!r}")


def _require(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise UnsafePickle(f"{type(value).__name__} where a {kind.__name__} belongs")
    return value


def read_pickle(file: BinaryIO | bytes) -> Any:
    """The value of one pickle: numbers, strings, None, tuples, lists, dicts and `TensorView`s.

    Args:
        file: the pickle's bytes, or a file that stands at its first byte and stands behind its last one afterwards.

    Raises:
        UnsafePickle: a name or opcode that tensors do not need, or bytes that are not a pickle.
    """
    machine = _Machine()
    try:
        for opcode, value, _ in pickletools.genops(file):
            machine.step(opcode.name, value)
        (result,) = machine.stack
    except UnsafePickle:
        raise
    except (IndexError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UnsafePickle(f"a damaged pickle: {error}") from error
    return result
