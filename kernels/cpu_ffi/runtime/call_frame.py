"""Readers of XLA's call frame for compiled code, built on the offsets of `kernels.cpu_ffi.runtime.abi`.

Every value is an int64 address; `kernels.cpu_ffi.runtime.availability` decides whether the layout applies.
"""

from numba import njit

from kernels.cpu_ffi.runtime.abi import (
    API_VERSION,
    ARGUMENTS,
    ARRAY_DATA,
    ATTRIBUTES,
    BUFFER_DATA,
    BUFFER_SHAPE,
    EXTENSION,
    EXTENSION_KIND,
    METADATA,
    METADATA_EXTENSION,
    RESULTS,
    VERSION,
)
from kernels.cpu_ffi.runtime.memory import load, store


@njit(error_model="numpy")
def data(frame, argument):
    """Address of the numbers of an argument."""
    return load(load(load(frame + ARGUMENTS) + 8 * argument) + BUFFER_DATA)


@njit(error_model="numpy")
def dimension(frame, argument, axis):
    """Length of one axis of an argument."""
    return load(load(load(load(frame + ARGUMENTS) + 8 * argument) + BUFFER_SHAPE) + 8 * axis)


@njit(error_model="numpy")
def result(frame, number):
    """Address of the numbers of a result."""
    return load(load(load(frame + RESULTS) + 8 * number) + BUFFER_DATA)


@njit(error_model="numpy")
def plan(frame, position):
    """An entry of the call's one attribute, an array of int64."""
    return load(load(load(load(frame + ATTRIBUTES)) + ARRAY_DATA) + 8 * position)


@njit(error_model="numpy")
def answered_metadata(frame):
    """XLA asks every handler once for its version, in a frame with an extension: True if this call was that."""
    extension = load(frame + EXTENSION)
    if extension == 0 or load(extension + EXTENSION_KIND) & 0xFFFFFFFF != METADATA_EXTENSION:
        return False
    store(load(extension + METADATA) + API_VERSION, VERSION[0] | VERSION[1] << 32)
    return True
