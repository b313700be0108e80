"""C functions compiled by Numba and cached on disk until a file of `kernels` changes."""

from collections.abc import Callable
from typing import Any

from numba import cfunc
from numba.core.types import int64

from kernels.host.jit import PACKAGE, cached_if_possible, checksum


def cached_cfunc(arguments: int) -> Callable[[Callable[..., int]], Any]:
    """Decorator: a function of `arguments` int64 numbers that returns one, callable from C (`.address`)."""

    def decorate(function: Callable[..., int]) -> Any:
        function.__qualname__ += f"_{checksum(PACKAGE):08x}"
        signature = int64(*[int64] * arguments)
        return cached_if_possible(lambda cache: cfunc(signature, cache=cache, error_model="numpy")(function))

    return decorate
