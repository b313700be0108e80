"""How kernels are compiled (cached on disk, no interpreter lock, serial), what is said of it, and their memory."""

import functools
import logging
import multiprocessing
import pathlib
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, event
from numba.extending import intrinsic

PACKAGE, PACKAGE_NAME = pathlib.Path(__file__).parents[1], __name__.removesuffix(".host.jit")
_ALIGNMENT = 64

COMPILE_SECONDS = {"host.simplify": 12, "host.mesh": 5, "host.voxel": 4, "host.batch": 1, "cpu_ffi": 6}
"""Room of `kernels` -> processor seconds in which its kernels are compiled (docs/speed.md)."""
OTHER_SECONDS = 3
"""The same for all kernels of another package."""

_log = logging.getLogger(__name__)
_imported: dict[str, list[Any]] = {}  # room or package -> its kernels that Numba keeps on disk


@functools.cache
def checksum(*folders: pathlib.Path) -> int:
    """Checksum of the Python sources in `folders` and in all folders below them.

    Numba's cache looks at the date of one file only, while a kernel contains the code of others that it calls. So the
    checksum is part of the name under which a kernel is cached, and no stale code survives an update.
    """
    return zlib.crc32(b"".join(path.read_bytes() for folder in folders for path in sorted(folder.rglob("*.py"))))


def compiled(function: Callable | None = None, **options: Any) -> Any:
    """Decorator `@compiled` or `@compiled(error_model="numpy")`: numba.njit with the settings of all our kernels.

    Threads may call a kernel at the same time: it releases the lock and starts no threads of its own. It is kept on
    disk where there is a place for it.
    """

    def decorate(kernel: Callable) -> Any:
        depth = max(kernel.__module__.count(".") - 1, 0)
        own_package = pathlib.Path(kernel.__code__.co_filename).parents[depth]
        kernel.__qualname__ += f"_{checksum(*dict.fromkeys((PACKAGE, own_package))):08x}"
        settings = {"nogil": True, "no_cfunc_wrapper": True, **options}
        dispatcher = cached_if_possible(lambda cache: njit(cache=cache, **settings)(kernel))
        _imported.setdefault(_room(kernel), []).append(dispatcher)
        return dispatcher

    return decorate if function is None else decorate(function)


def cached_if_possible(compile_with: Callable[[bool], Any]) -> Any:
    """`compile_with(cache=True)`, or without a cache, which is logged once, if Numba finds no folder for one."""
    try:
        return compile_with(True)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        _log_uncached()
        return compile_with(False)


def is_cold(room: str) -> bool:
    """Whether no kernel of a room (a key of `COMPILE_SECONDS`, or another package) is on disk, where it has a place."""
    return bool(_cache_files(room)) and not any(map(pathlib.Path.exists, _cache_files(room)))


def clock() -> float:
    """Seconds of a monotonic clock that stands still while this process compiles kernels: for estimates."""
    return time.monotonic() - _watch.seconds


class _CompileWatch(event.Listener):
    """Hears from Numba, which compiles under one lock, of kernels that are not on disk: announces and times them.

    A room is announced once, before its first kernel is compiled, together with all imported rooms that are cold. If a
    part of a room is on disk, the rest is expected to take its share of the room's time.
    """

    def __init__(self):
        self._finished, self._began, self._depth = 0.0, 0.0, 0
        self._announced: set[str] = set()

    @property
    def seconds(self) -> float:
        """Spent compiling kernels in this process, until now."""
        return self._finished + (time.monotonic() - self._began if self._depth else 0.0)

    def on_start(self, event: event.Event) -> None:
        """A function begins to be compiled, perhaps for another one."""
        room = _room(event.data["dispatcher"].py_func)
        if self._depth == 0:
            self._began = time.monotonic()
            if room not in self._announced and (room in COMPILE_SECONDS or room in _imported):
                self._announce(room)
        self._depth += 1

    def on_end(self, event: event.Event) -> None:
        """It is compiled, or cannot be."""
        self._depth -= 1
        if self._depth == 0:
            self._finished += time.monotonic() - self._began

    def _announce(self, first: str) -> None:
        rooms = {first, *filter(is_cold, _imported)} - self._announced
        self._announced |= rooms
        seconds = sum(COMPILE_SECONDS.get(room, OTHER_SECONDS) * _missing_share(room) for room in rooms)
        if multiprocessing.parent_process() is None:
            _log.info("Compiling kernels, once for this installation, about %.0f s", max(seconds, 1))


_watch = _CompileWatch()
event.register("numba:compile", _watch)


def _room(function: Callable) -> str:
    """The key of `COMPILE_SECONDS` for a function, or else its package."""
    package, module = PACKAGE_NAME + ".", function.__module__ + "."
    if module.startswith(package):
        inner = module.removeprefix(package)
        return next((room for room in COMPILE_SECONDS if inner.startswith(room + ".")), PACKAGE_NAME)
    return module.partition(".")[0]


def _missing_share(room: str) -> float:
    """Part of a room's imported kernels that is not on disk; 1 if none is kept there."""
    files = _cache_files(room)
    return sum(not file.exists() for file in files) / len(files) if files else 1.0


def _cache_files(room: str) -> list[pathlib.Path]:
    """Of each imported kernel of a room; none where Numba has no folder for them."""
    caches = [kernel._cache for kernel in _imported.get(room, ())]
    return [pathlib.Path(cache._cache_file._index_path) for cache in caches if hasattr(cache, "_cache_file")]


@functools.cache
def _log_uncached() -> None:
    if multiprocessing.parent_process() is None:
        _log.warning(
            "Compiled code is not kept, so every start takes longer: no folder for it can be written. "
            "Set NUMBA_CACHE_DIR or TMPDIR to one."
        )


@intrinsic
def borrowed(typing_context, value):
    """The same array, or tuple of them, for use inside one kernel while its caller keeps it: no references are counted.

    Numba counts, with locked instructions, the references to every array in sight of a call or a loop with two exits.
    In the collapse of edges that took a fifth of the time.
    """

    def generate(context, builder, signature, arguments):
        return _without_owners(context, builder, signature.return_type, arguments[0])

    return value(value), generate


def _without_owners(context, builder, kind, value):
    """The LLVM value of an array, or a tuple of arrays, whose owners are null, so that Numba counts no references."""
    if isinstance(kind, types.BaseTuple):
        parts = zip(kind.types, cgutils.unpack_tuple(builder, value))
        return context.make_tuple(builder, kind, [_without_owners(context, builder, *part) for part in parts])
    view = context.make_array(kind)(context, builder, value)
    view.meminfo = view.meminfo.type(None)
    view.parent = view.parent.type(None)
    return view._getvalue()


@intrinsic
def prefetch(typing_context, array, row):
    """Asks the processor to bring the first 64 bytes of a row into its cache; no more than a hint, whatever the row."""

    def generate(context, builder, signature, arguments):
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        row = context.cast(builder, arguments[1], signature.args[1], types.intp)
        step = builder.extract_value(view.strides, 0)
        place = builder.gep(builder.bitcast(view.data, ir.IntType(8).as_pointer()), [builder.mul(row, step)])
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, flag, flag, flag])
        hint = builder.module.declare_intrinsic("llvm.prefetch.p0", (), kind)
        builder.call(hint, [place, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(array, row), generate


def empty_together(*wanted: tuple[int | tuple[int, ...], type]) -> list[np.ndarray]:
    """Uninitialised arrays that share one allocation.

    NumPy asks Linux for huge pages from 4 MiB on, so that fewer addresses must be translated; arrays of a kernel's own
    never have them. An edge collapse takes a twenty-fifth less time in them.

    Args:
        wanted: (shape, dtype) of each array.

    Returns:
        Arrays of these shapes, such as [V, 3], each from a multiple of 64 bytes on.
    """
    sizes = [int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in wanted]
    block = np.empty(sum(sizes) + _ALIGNMENT * (len(sizes) + 1), np.uint8)
    arrays, start = [], 0
    for (shape, dtype), size in zip(wanted, sizes):
        start += -(block.ctypes.data + start) % _ALIGNMENT
        arrays.append(block[start : start + size].view(dtype).reshape(shape))
        start += size
    return arrays
