"""C functions compiled by Numba, and how they read XLA's call frame.

The readers are built on the offsets of `kernels.cpu_ffi.runtime.abi`; `kernels.cpu_ffi.runtime.availability` decides
whether they apply. Every value is an int64 address or number.
"""

from collections.abc import Callable
from typing import Any

from numba import cfunc, njit
from numba.core.types import int64

from kernels.cpu_ffi.runtime import abi
from kernels.cpu_ffi.runtime.memory import load, store
from kernels.host.jit import PACKAGE, cached_if_possible, checksum


def cached_cfunc(arguments: int) -> Callable[[Callable[..., int]], Any]:
    """Decorator: a function of `arguments` int64 numbers that returns one, callable from C (`.address`).

    It is cached on disk until a file of `kernels` changes.
    """

    def decorate(function: Callable[..., int]) -> Any:
        function.__qualname__ += f"_{checksum(PACKAGE):08x}"
        signature = int64(*[int64] * arguments)
        return cached_if_possible(lambda cache: cfunc(signature, cache=cache, error_model="numpy")(function))

    return decorate


@njit(error_model="numpy")
def data(frame, argument):
    """Address of the numbers of an argument."""
    return load(load(load(frame + abi.ARGUMENTS) + 8 * argument) + abi.BUFFER_DATA)


@njit(error_model="numpy")
def dimension(frame, argument, axis):
    """Length of one axis of an argument."""
    return load(load(load(load(frame + abi.ARGUMENTS) + 8 * argument) + abi.BUFFER_SHAPE) + 8 * axis)


@njit(error_model="numpy")
def result(frame, number):
    """Address of the numbers of a result."""
    return load(load(load(frame + abi.RESULTS) + 8 * number) + abi.BUFFER_DATA)


@njit(error_model="numpy")
def plan(frame, position):
    """An entry of the call's one attribute, an array of int64."""
    return load(load(load(load(frame + abi.ATTRIBUTES)) + abi.ARRAY_DATA) + 8 * position)


@njit(error_model="numpy")
def answered_metadata(frame):
    """XLA asks every handler once for its version, in a frame with an extension: True if this call was that."""
    extension = load(frame + abi.EXTENSION)
    if extension == 0 or load(extension + abi.EXTENSION_KIND) & 0xFFFFFFFF != abi.METADATA_EXTENSION:
        return False
    store(load(extension + abi.METADATA) + abi.API_VERSION, abi.VERSION[0] | abi.VERSION[1] << 32)
    return True
