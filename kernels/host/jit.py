"""The one way in which kernels of this folder are compiled: cached on disk, without the interpreter's lock, serial."""

import functools
import logging
import multiprocessing
import pathlib
import zlib
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

PACKAGE = pathlib.Path(__file__).parents[1]

_log = logging.getLogger(__name__)


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
        return cached_if_possible(lambda cache: njit(cache=cache, nogil=True, **options)(kernel))

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


@functools.cache
def _log_uncached() -> None:
    if multiprocessing.parent_process() is None:
        _log.warning(
            "Compiled code is not kept, so every start takes longer: no folder for it can be written. "
            "Set NUMBA_CACHE_DIR or TMPDIR to one."
        )


@intrinsic
def borrowed(typing_context, array):
    """The same array for use inside one kernel, which its caller keeps alive: its references are not counted.

    Numba counts, with locked instructions, the references to every array in sight of a call or a loop with two exits;
    in the collapse of edges that took a fifth of the time.
    """

    def generate(context, builder, signature, arguments):
        view = context.make_array(signature.return_type)(context, builder, arguments[0])
        view.meminfo = view.meminfo.type(None)
        view.parent = view.parent.type(None)
        return view._getvalue()

    return array(array), generate


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
