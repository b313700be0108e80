"""C functions compiled by Numba, and how they read XLA's call frame.

The readers are built on the offsets of `kernels.cpu_ffi.runtime.abi`; `kernels.cpu_ffi.runtime.availability` decides
whether they apply. Every value is an int64 address or number.
"""

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import cfunc, njit
from numba.core.types import int64

from kernels.cpu_ffi.runtime import abi
from kernels.cpu_ffi.runtime.memory import I64, instruction, load, load_as, store
from kernels.host.jit import PACKAGE, cached_if_possible, checksum


class CFunction:
    """A function of int64 numbers that returns one, for callers in C. It is compiled when its address is asked for."""

    def __init__(self, function: Callable[..., int], arguments: int):
        function.__qualname__ += f"_{checksum(PACKAGE):08x}"
        self._function, self._signature = function, int64(*[int64] * arguments)

    @functools.cached_property
    def _compiled(self) -> Any:
        options = {"error_model": "numpy"}
        return cached_if_possible(lambda cache: cfunc(self._signature, cache=cache, **options)(self._function))

    @property
    def address(self) -> int:
        """Where its machine code begins; valid for as long as this object lives."""
        return self._compiled.address


def cached_cfunc(arguments: int) -> Callable[[Callable[..., int]], CFunction]:
    """Decorator: a `CFunction` of `arguments` numbers, which is cached on disk until a file of `kernels` changes."""
    return functools.partial(CFunction, arguments=arguments)


def _follow(builder: ir.IRBuilder, address: ir.Value, *offsets: int | ir.Value) -> ir.Value:
    """The int64 at the last offset from the address at the offset before it, and so on, beginning at `address`."""
    for offset in offsets:
        address = load_as(builder, builder.add(address, I64(offset) if isinstance(offset, int) else offset), I64)
    return address


def _entry(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    """Bytes before an entry of a table of addresses or numbers."""
    return builder.mul(number, I64(8))


@instruction
def data(builder, frame, argument):
    """Address of the numbers of an argument."""
    return _follow(builder, frame, abi.ARGUMENTS, _entry(builder, argument), abi.BUFFER_DATA)


@instruction
def dimension(builder, frame, argument, axis):
    """Length of one axis of an argument."""
    return _follow(builder, frame, abi.ARGUMENTS, _entry(builder, argument), abi.BUFFER_SHAPE, _entry(builder, axis))


@instruction
def result(builder, frame, number):
    """Address of the numbers of a result."""
    return _follow(builder, frame, abi.RESULTS, _entry(builder, number), abi.BUFFER_DATA)


@instruction
def plan(builder, frame, position):
    """An entry of the call's one attribute, an array of int64."""
    return _follow(builder, frame, abi.ATTRIBUTES, 0, abi.ARRAY_DATA, _entry(builder, position))


@njit(error_model="numpy")
def answered_metadata(frame):
    """XLA asks every handler once for its version, in a frame with an extension: True if this call was that."""
    extension = load(frame + abi.EXTENSION)
    if extension == 0 or load(extension + abi.EXTENSION_KIND) & 0xFFFFFFFF != abi.METADATA_EXTENSION:
        return False
    store(load(extension + abi.METADATA) + abi.API_VERSION, abi.VERSION[0] | abi.VERSION[1] << 32)
    return True
