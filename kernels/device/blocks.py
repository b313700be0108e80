"""Row blocks: the gathers, the scan over blocks of rows and the choice by platform that the device kernels share."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from kernels.cpu_ffi.runtime.availability import unsupported_reason

COLUMN_BYTES = 7 << 20
"""Gathered bytes per block on CPU: what stays in the last-level cache beside its matrix product."""


def take_rows(array: jax.Array, index: jax.Array) -> jax.Array:
    """array[index] along axis 0. The tables promise indices in range: nothing is clamped, wrapped or checked."""
    return jnp.asarray(array).at[index].get(mode="promise_in_bounds")


def zero_last_row(array: jax.Array) -> jax.Array:
    """`array` with its last row, the one that absent table entries point to, set to zero."""
    row = jnp.zeros((1, *array.shape[1:]), array.dtype)
    return lax.dynamic_update_slice_in_dim(array, row, array.shape[0] - 1, axis=0)


def accumulator(dtype: jnp.dtype) -> jnp.dtype:
    """The type that sums of `dtype` are kept in: float32 for the 16-bit floats, otherwise `dtype` itself."""
    return jnp.promote_types(dtype, jnp.float32)


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """a @ b, accumulated and returned in `accumulator(a.dtype)`; the user's default precision applies."""
    return jnp.matmul(a, b, preferred_element_type=accumulator(a.dtype))


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
    """function(*operands, **static, blocked=True or False), or the kernel numba(*operands, **static) or pallas(...),
    which do the same.

    With `method` None the program takes, where it is compiled for CPU, the Numba kernel if it can be used here and for
    these types, otherwise the blocked form; elsewhere it takes the form that is not blocked. "xla" is the same without
    the Numba kernel.
    `lax.platform_dependent` decides at lowering, so that a program placed on the CPU of a GPU machine, or exported for
    another platform, takes the form meant for where it runs; only that form is compiled.

    Raises:
      ValueError: `method` is "numba" and the kernel cannot be used; the message says why.
    """
    if method == "numba":
        if reason := unsupported_reason(operands):
            raise ValueError(f'method "numba" cannot be used: {reason}')
        return numba(*operands, **static)
    if method == "pallas":
        return pallas(*operands, **static)
    if method in (None, "xla"):
        blocked = functools.partial(function, **static, blocked=True)
        whole = functools.partial(function, **static, blocked=False)
        usable = method is None and unsupported_reason(operands) is None
        return lax.platform_dependent(
            *operands, cpu=functools.partial(numba, **static) if usable else blocked, default=whole
        )
    return function(*operands, **static, blocked=method == "blocked")


def block_rows(rows: int, limit: int) -> int:
    """Rows per block, at most `limit`: the largest multiple of 8 above limit / 2 that divides `rows`, else the block
    count's fair share rounded up to a multiple of 8 (the last block is then padded)."""
    if rows <= limit:
        return rows
    limit = max(8, limit // 8 * 8)
    for candidate in range(limit, limit // 2, -8):
        if rows % candidate == 0:
            return candidate
    blocks = -(-rows // limit)
    return -(-rows // blocks // 8) * 8 or 8


def scan_blocks(body: Callable[..., Any], init: Any, arrays: Any, block: int | None, fill: Any = 0) -> tuple[Any, Any]:
    """Runs `body(carry, blocks) -> carry, outputs` over blocks of rows.

    Args:
      body: gets the carry and `arrays` cut to one block [R, ...]; its outputs have R rows.
      init: first carry.
      arrays: pytree of arrays that share their row count N.
      block: R, or None for one call with all rows and no loop.
      fill: what the missing rows of a ragged last block hold, one number or a pytree of them like `arrays`. `body` sees
        those rows; outputs beyond row N are cut off.

    Returns:
      the last carry and the outputs [N, ...].
    """
    rows = jax.tree.leaves(arrays)[0].shape[0]
    if block is None or block >= rows:
        return body(init, arrays)
    blocks = -(-rows // block)
    missing = blocks * block - rows

    def cut(array: jax.Array, value: int) -> jax.Array:
        if missing:
            array = jnp.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1), constant_values=value)
        return array.reshape(blocks, block, *array.shape[1:])

    fills = jax.tree.map(lambda _: fill, arrays) if isinstance(fill, int) else fill
    carry, outputs = lax.scan(body, init, jax.tree.map(cut, arrays, fills))
    return carry, jax.tree.map(lambda out: out.reshape(blocks * block, *out.shape[2:])[:rows], outputs)
