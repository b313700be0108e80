"""The choice between the forms of a kernel: by name, or by the platform for which the program is compiled."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from jax import lax

from kernels.cpu_ffi.runtime.availability import targets, unsupported_reason

TRITON = "__gpu$xla.gpu.triton"
"""The custom call of a Pallas kernel."""


def custom_calls() -> dict[str, Callable[[], object]]:
    """The custom calls that the kernels make on this machine, and what each needs before a program with it runs.

    Tracing does so itself; a program that was traced by another process needs it.
    """
    return {**targets(), TRITON: lambda: None}


def check_method(method: str | None, known: Sequence[str]) -> None:
    """ValueError unless `method` is None or one of `known`."""
    if method is not None and method not in known:
        raise ValueError(f"method {method!r} is unknown; known are None (by platform), {', '.join(map(repr, known))}")


def by_platform(
    function: Callable[..., Any],
    method: str | None,
    *operands: Any,
    numba: Callable[..., Any],
    pallas: Callable[..., Any] | None = None,
    **static: Any,
) -> Any:
    """The result of one form of a kernel; all forms take `(*operands, **static)` and do the same.

    `lax.platform_dependent` decides at lowering, so that a program placed on the CPU of a GPU machine, or exported for
    another platform, takes the form meant for where it runs. Only that form is compiled.

    Args:
        function: the XLA form, which takes `blocked=True` or `False` too.
        method: "numba", "pallas", "blocked", "whole", or "xla": blocked on CPU, whole elsewhere. None is "xla" with
            the Numba kernel on CPU if it can be used on this machine and for these types.
        *operands: arrays and pytrees of arrays.
        numba: the form of `kernels.cpu_ffi`.
        pallas: the form for GPUs, if the kernel has one.
        **static: further arguments.

    Returns:
        What the form returns.

    Raises:
        ValueError: `method` is "numba" and the kernel cannot be used; the message gives the reason.
    """
    if method == "numba":
        if reason := unsupported_reason(operands):
            raise ValueError(f'method "numba" cannot be used: {reason}')
        return numba(*operands, **static)
    if method == "pallas":
        return pallas(*operands, **static)
    if method not in (None, "xla"):
        return function(*operands, **static, blocked=method == "blocked")
    on_cpu = functools.partial(function, **static, blocked=True)
    if method is None and unsupported_reason(operands) is None:
        on_cpu = functools.partial(numba, **static)
    return lax.platform_dependent(*operands, cpu=on_cpu, default=functools.partial(function, **static, blocked=False))
