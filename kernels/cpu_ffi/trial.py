"""One small call through XLA's FFI whose every number is known, made before any Numba kernel reads raw memory.

The handler is a Python function. It goes from struct to struct and looks at the size that each one begins with before
it follows a pointer out of it, so a jaxlib that lays its structs out in another way is found out without harm.
"""

import ctypes

import jax
import numpy as np

from kernels.cpu_ffi import layout

TARGET = "kernels_cpu_trial"
MATRIX = np.array([[1.5, -2.0, 3.0], [4.0, 5.0, -6.5]], np.float32)
VECTOR = np.array([7, -8, 9, 10], np.int32)
PLAN = np.array([11, -12, 13], np.int64)
ANSWER = np.array([MATRIX.sum(), VECTOR.sum(), PLAN.sum()], np.float32)


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def _buffer_obstacle(name: str, buffer: int, want: np.ndarray) -> str | None:
    """Looks at an XLA_FFI_Buffer that should have the shape and the bytes of `want`."""
    if _word(buffer) != layout.BUFFER_SIZE:
        return f"a buffer has {_word(buffer)} bytes"
    if _word(buffer + layout.BUFFER_RANK) != want.ndim:
        return f"the rank of the {name} reads {_word(buffer + layout.BUFFER_RANK)}"
    shape = [_word(_word(buffer + layout.BUFFER_SHAPE) + 8 * axis) for axis in range(want.ndim)]
    if shape != list(want.shape):
        return f"the shape of the {name} reads {shape}"
    if ctypes.string_at(_word(buffer + layout.BUFFER_DATA), want.nbytes) != want.tobytes():
        return f"the numbers of the {name} are not where they should be"
    return None


def _frame_obstacle(frame: int) -> str | None:
    """What differs between the frame and `kernels.cpu_ffi.layout`; if nothing does, the result is written."""
    sizes = {0: layout.FRAME_SIZE, layout.ARGUMENT_BLOCK: layout.ARGUMENT_BLOCK_SIZE}
    sizes |= {layout.RESULT_BLOCK: layout.RESULT_BLOCK_SIZE, layout.ATTRIBUTE_BLOCK: layout.ATTRIBUTE_BLOCK_SIZE}
    counts = {layout.ARGUMENT_COUNT: 2, layout.RESULT_COUNT: 1, layout.ATTRIBUTE_COUNT: 1}
    for offset, want in (sizes | counts).items():
        if _word(frame + offset) != want:
            return f"byte {offset} of the call frame holds {_word(frame + offset)}, not {want}"
    arguments = _word(frame + layout.ARGUMENTS)
    for i, (name, want) in enumerate((("matrix", MATRIX), ("vector", VECTOR))):
        if reason := _buffer_obstacle(name, _word(arguments + 8 * i), want):
            return reason
    array = _word(_word(frame + layout.ATTRIBUTES))
    if _word(array + layout.ARRAY_LENGTH) != len(PLAN):
        return f"the length of the attribute reads {_word(array + layout.ARRAY_LENGTH)}"
    if ctypes.string_at(_word(array + layout.ARRAY_DATA), PLAN.nbytes) != PLAN.tobytes():
        return "the numbers of the attribute are not where they should be"
    if reason := _pool_obstacle(frame):
        return reason
    out = _word(_word(frame + layout.RESULTS))
    ctypes.memmove(_word(out + layout.BUFFER_DATA), ANSWER.ctypes.data, ANSWER.nbytes)
    return None


def _pool_obstacle(frame: int) -> str | None:
    """Looks at XLA's table of functions and asks for the number of threads."""
    api = _word(frame + layout.API)
    if _word(api) < layout.API_SIZE:
        return f"the table of functions has {_word(api)} bytes, not {layout.API_SIZE}"
    number = _word(api + layout.API_OWN_VERSION)
    if (version := (number & 0xFFFFFFFF, number >> 32)) not in layout.VERSIONS:
        return f"the table of functions says version {version}"
    threads = ctypes.c_int64(0)
    arguments = (ctypes.c_int64 * 4)(
        layout.POOL_NUM_THREADS_SIZE, 0, _word(frame + layout.CONTEXT), ctypes.addressof(threads)
    )
    ask = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(_word(api + layout.POOL_NUM_THREADS))
    if ask(ctypes.addressof(arguments)) == 0 and not 0 < threads.value < 1 << 16:
        return f"the number of threads reads {threads.value}"
    return None


_found: list[str | None] = []


@ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
def _handle(frame: int) -> int:
    extension = _word(frame + layout.EXTENSION)
    if extension and _word(extension + layout.EXTENSION_KIND) & 0xFFFFFFFF == layout.METADATA_EXTENSION:
        address = _word(extension + layout.METADATA) + layout.API_VERSION
        ctypes.c_int64.from_address(address).value = layout.VERSION[0] | layout.VERSION[1] << 32
    else:
        _found.append(_frame_obstacle(frame))
    return 0


def layout_obstacle() -> str | None:
    """Why the structs of this jaxlib cannot be read, None if they can. Runs on JAX's CPU device, also while a function
    is traced."""
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
