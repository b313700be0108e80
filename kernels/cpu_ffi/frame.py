"""XLA's call frame as FFI version 0.3 lays it out (xla/ffi/api/c_api.h, 64 bits): byte offsets and the readers built
on them. Everything is an int64 address; only `kernels.cpu_ffi.support` decides whether this layout applies."""

from numba import njit

from kernels.cpu_ffi.intrinsics import load, store

VERSION = (0, 3)
"""Major and minor number of the layout below."""

# XLA_FFI_CallFrame
EXTENSION, API, CONTEXT, ARGUMENTS, RESULTS, ATTRIBUTES = 8, 16, 24, 72, 112, 160
# XLA_FFI_Buffer, XLA_FFI_Array
BUFFER_DATA, BUFFER_SHAPE = 24, 40
ARRAY_DATA = 16
# XLA_FFI_Extension_Base, XLA_FFI_Metadata_Extension, XLA_FFI_Metadata
EXTENSION_KIND, METADATA, API_VERSION = 8, 24, 24
METADATA_EXTENSION = 1
# XLA_FFI_Api: functions
ERROR_DESTROY, POOL_SCHEDULE, POOL_NUM_THREADS = 64, 136, 144
# sizes of XLA_FFI_Error_Destroy_Args, XLA_FFI_ThreadPool_Schedule_Args, XLA_FFI_ThreadPool_NumThreads_Args
ERROR_DESTROY_SIZE, POOL_SCHEDULE_SIZE, POOL_NUM_THREADS_SIZE = 24, 40, 32


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
