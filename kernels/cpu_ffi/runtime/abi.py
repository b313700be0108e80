"""XLA's call frame as the header of its FFI lays it out (xla/ffi/api/c_api.h, 64 bits): byte offsets and sizes.

By XLA's rule a new minor version only appends to structs, as 0.4 (jaxlib 0.11) and 0.5 (jaxlib 0.12) do to XLA_FFI_Api.
`kernels.cpu_ffi.runtime.abi_probe` checks that a running jaxlib keeps to this.
"""

VERSION = (0, 3)
"""Major and minor version of the FFI that the handlers are made for (jaxlib 0.10). XLA accepts older minor numbers."""


def is_supported(version: tuple[int, int] | None) -> bool:
    """Whether an FFI of this major and minor version (None: no FFI) has the structs below."""
    return version is not None and version[0] == VERSION[0] and version[1] >= VERSION[1]


# XLA_FFI_CallFrame and, inside it, XLA_FFI_Args, XLA_FFI_Rets, XLA_FFI_Attrs
EXTENSION, API, CONTEXT = 8, 16, 24
ARGUMENT_BLOCK, ARGUMENT_COUNT, ARGUMENTS = 40, 56, 72
RESULT_BLOCK, RESULT_COUNT, RESULTS = 80, 96, 112
ATTRIBUTE_BLOCK, ATTRIBUTE_COUNT, ATTRIBUTES = 120, 136, 160
FRAME_SIZE, ARGUMENT_BLOCK_SIZE, RESULT_BLOCK_SIZE, ATTRIBUTE_BLOCK_SIZE = 168, 40, 40, 48
# XLA_FFI_Buffer, XLA_FFI_Array
BUFFER_DATA, BUFFER_RANK, BUFFER_SHAPE, BUFFER_SIZE = 24, 32, 40, 48
ARRAY_LENGTH, ARRAY_DATA = 8, 16
# XLA_FFI_InternalExtension, XLA_FFI_Metadata_Extension, XLA_FFI_Metadata
EXTENSION_KIND, METADATA, API_VERSION = 8, 24, 24
METADATA_EXTENSION = 1
# XLA_FFI_Api: its version, functions, and its size in version 0.3
API_OWN_VERSION, ERROR_DESTROY, POOL_SCHEDULE, POOL_NUM_THREADS, API_SIZE = 32, 64, 136, 144, 192
# sizes of XLA_FFI_Error_Destroy_Args, XLA_FFI_ThreadPool_Schedule_Args, XLA_FFI_ThreadPool_NumThreads_Args
ERROR_DESTROY_SIZE, POOL_SCHEDULE_SIZE, POOL_NUM_THREADS_SIZE = 24, 40, 32
