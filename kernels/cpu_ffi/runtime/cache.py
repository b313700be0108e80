"""C functions compiled by Numba and kept on disk for as long as no file of this folder changes."""

import pathlib
import zlib
from collections.abc import Callable
from typing import Any

from numba import cfunc
from numba.core.types import int64

from kernels.host.jit import cached_if_possible

SOURCES = zlib.crc32(b"".join(path.read_bytes() for path in sorted(pathlib.Path(__file__).parent.glob("*.py"))))
"""Checksum of the folder. Numba's cache looks at the date of one file only, while a compiled function here contains
code and constants of several; so the checksum becomes part of the name under which it is kept."""


def cached_cfunc(arguments: int) -> Callable[[Callable[..., int]], Any]:
    """Decorator: a function of `arguments` int64 numbers that returns one, callable from C (`.address`)."""

    def decorate(function: Callable[..., int]) -> Any:
        function.__qualname__ += f"_{SOURCES:08x}"
        signature = int64(*[int64] * arguments)
        return cached_if_possible(lambda cache: cfunc(signature, cache=cache, error_model="numpy")(function))

    return decorate
