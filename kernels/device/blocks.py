"""What the device kernels share: gathers, sums in float32, and the scan over blocks of rows."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def take_rows(array: jax.Array, index: jax.Array) -> jax.Array:
    """`array[index]` for an array [N, ...]. Tables promise indices in range: nothing is clamped, wrapped or checked."""
    return jnp.asarray(array).at[index].get(mode="promise_in_bounds")


def zero_last_row(array: jax.Array) -> jax.Array:
    """`array` [N, ...] with its last row, the one that absent table entries point to, set to zero."""
    row = jnp.zeros((1, *array.shape[1:]), array.dtype)
    return lax.dynamic_update_slice_in_dim(array, row, array.shape[0] - 1, axis=0)


def accumulator(dtype: jnp.dtype) -> jnp.dtype:
    """The type in which sums of `dtype` are kept: float32 for the 16-bit floats, otherwise `dtype` itself."""
    return jnp.promote_types(dtype, jnp.float32)


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """a [N, K] @ b [K, M], accumulated and returned in `accumulator(a.dtype)` with the user's default precision."""
    return jnp.matmul(a, b, preferred_element_type=accumulator(a.dtype))


def block_rows(rows: int, limit: int) -> int:
    """Rows per block, at most `limit`: a divisor of `rows` if a multiple of 8 above limit / 2 is one (the largest).

    Otherwise it is the block count's fair share, rounded up to a multiple of 8, and the last block is padded.
    """
    if rows <= limit:
        return rows
    limit = max(8, limit // 8 * 8)
    for candidate in range(limit, limit // 2, -8):
        if rows % candidate == 0:
            return candidate
    blocks = -(-rows // limit)
    return -(-rows // blocks // 8) * 8 or 8


def scan_blocks(
    body: Callable[..., Any], init: Any, arrays: Any, block: int | None, *, fill: Any = 0
) -> tuple[Any, Any]:
    """Runs `body(carry, blocks) -> carry, outputs` over blocks of rows.

    Args:
        body: gets the carry and `arrays` cut to one block [R, ...]; its outputs have R rows.
        init: first carry.
        arrays: pytree of arrays that share their row count N.
        block: R, or None for one call with all rows and no loop.
        fill: what the missing rows of a ragged last block hold, one number or a pytree of them like `arrays`. `body`
            sees those rows; outputs beyond row N are cut off.

    Returns:
        The last carry and the outputs [N, ...].
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
