"""One small call through XLA's FFI whose every number is known, made before any Numba kernel reads raw memory.

The handler is a Python function. It goes from struct to struct and looks at the size that each one begins with before
it follows a pointer out of it, so a jaxlib with another layout is detected without harm.
"""

import ctypes

import jax
import numpy as np

from kernels.cpu_ffi.runtime import abi

TARGET = "kernels_cpu_trial"
MATRIX = np.array([[1.5, -2.0, 3.0], [4.0, 5.0, -6.5]], np.float32)
VECTOR = np.array([7, -8, 9, 10], np.int32)
PLAN = np.array([11, -12, 13], np.int64)
ANSWER = np.array([MATRIX.sum(), VECTOR.sum(), PLAN.sum()], np.float32)


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def _unsupported_frame_reason(frame: int) -> str | None:
    """What differs between the frame and `kernels.cpu_ffi.runtime.abi`; if nothing does, the result is written."""
    sizes = {0: abi.FRAME_SIZE, abi.ARGUMENT_BLOCK: abi.ARGUMENT_BLOCK_SIZE}
    sizes |= {abi.RESULT_BLOCK: abi.RESULT_BLOCK_SIZE, abi.ATTRIBUTE_BLOCK: abi.ATTRIBUTE_BLOCK_SIZE}
    counts = {abi.ARGUMENT_COUNT: 2, abi.RESULT_COUNT: 1, abi.ATTRIBUTE_COUNT: 1}
    for offset, want in (sizes | counts).items():
        if _word(frame + offset) != want:
            return f"byte {offset} of the call frame holds {_word(frame + offset)}, not {want}"
    arguments = _word(frame + abi.ARGUMENTS)
    for i, (name, want) in enumerate((("matrix", MATRIX), ("vector", VECTOR))):
        buffer = _word(arguments + 8 * i)
        if _word(buffer) != abi.BUFFER_SIZE:
            return f"a buffer has {_word(buffer)} bytes"
        if _word(buffer + abi.BUFFER_RANK) != want.ndim:
            return f"the rank of the {name} reads {_word(buffer + abi.BUFFER_RANK)}"
        shape = [_word(_word(buffer + abi.BUFFER_SHAPE) + 8 * axis) for axis in range(want.ndim)]
        if shape != list(want.shape):
            return f"the shape of the {name} reads {shape}"
        if ctypes.string_at(_word(buffer + abi.BUFFER_DATA), want.nbytes) != want.tobytes():
            return f"the numbers of the {name} are not where they should be"
    array = _word(_word(frame + abi.ATTRIBUTES))
    if _word(array + abi.ARRAY_LENGTH) != len(PLAN):
        return f"the length of the attribute reads {_word(array + abi.ARRAY_LENGTH)}"
    if ctypes.string_at(_word(array + abi.ARRAY_DATA), PLAN.nbytes) != PLAN.tobytes():
        return "the numbers of the attribute are not where they should be"
    if reason := _unsupported_pool_reason(frame):
        return reason
    out = _word(_word(frame + abi.RESULTS))
    ctypes.memmove(_word(out + abi.BUFFER_DATA), ANSWER.ctypes.data, ANSWER.nbytes)
    return None


def _unsupported_pool_reason(frame: int) -> str | None:
    """Looks at XLA's table of functions and asks for the number of threads."""
    api = _word(frame + abi.API)
    if _word(api) < abi.API_SIZE:
        return f"the table of functions has {_word(api)} bytes, not {abi.API_SIZE}"
    number = _word(api + abi.API_OWN_VERSION)
    if not abi.is_supported(version := (number & 0xFFFFFFFF, number >> 32)):
        return f"the table of functions says version {version}"
    threads = ctypes.c_int64(0)
    words = abi.POOL_NUM_THREADS_SIZE, 0, _word(frame + abi.CONTEXT), ctypes.addressof(threads)
    arguments = (ctypes.c_int64 * 4)(*words)
    ask = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(_word(api + abi.POOL_NUM_THREADS))
    if ask(ctypes.addressof(arguments)) == 0 and not 0 < threads.value < 1 << 16:
        return f"the number of threads reads {threads.value}"
    return None


_found: list[str | None] = []


@ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
def _handle(frame: int) -> int:
    extension = _word(frame + abi.EXTENSION)
    if extension and _word(extension + abi.EXTENSION_KIND) & 0xFFFFFFFF == abi.METADATA_EXTENSION:
        address = _word(extension + abi.METADATA) + abi.API_VERSION
        ctypes.c_int64.from_address(address).value = abi.VERSION[0] | abi.VERSION[1] << 32
    else:
        _found.append(_unsupported_frame_reason(frame))
    return 0


def unsupported_layout_reason() -> str | None:
    """Why the structs of this jaxlib cannot be read, None if they can; by JAX's CPU device, also during tracing."""
    _found.clear()
    capsule = jax.ffi.pycapsule(ctypes.cast(_handle, ctypes.c_void_p))
    try:
        jax.ffi.register_ffi_target(TARGET, capsule, platform="cpu")
    except jax.errors.JaxRuntimeError as error:
        return str(error)
    with jax.ensure_compile_time_eval(), jax.default_device(jax.local_devices(backend="cpu")[0]):
        call = jax.ffi.ffi_call(TARGET, jax.ShapeDtypeStruct(ANSWER.shape, ANSWER.dtype))
        answer = np.asarray(call(MATRIX, VECTOR, plan=PLAN))
    if not _found:
        return "the trial call did not arrive"
    if reason := next(filter(None, _found), None):
        return reason
    return None if np.array_equal(answer, ANSWER) else f"the trial call answers {answer}, not {ANSWER}"
