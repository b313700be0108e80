"""Sums of gathered rows over sorted segments: the transpose of a gather whose indices were sorted beforehand."""

import jax
import jax.numpy as jnp

from kernels.cpu_ffi import bind as on_cpu
from kernels.device.blocks import accumulator, block_rows, scan_blocks, take_rows, zero_last_row
from kernels.device.dispatch import by_platform

BLOCK_BYTES = 2 << 20
"""Bytes of gathered rows per block on CPU."""


def gather_segment_sum(
    source: jax.Array,
    weights: jax.Array | None,
    order: jax.Array,
    segments: jax.Array,
    num_segments: int,
    *,
    fan: int = 1,
    method: str | None = None,
) -> jax.Array:
    """out[s] = sum of weights[order[e]] * source[order[e] // fan] over the entries e with segments[e] == s.

    Args:
        source: float [N, C].
        weights: float [N*fan], or None for ones.
        order: int32 [E], entries in the order of their segments.
        segments: int32 [E], ascending.
        num_segments: S.
        fan: entries per row of `source`, a power of two.
        method: as for `kernels.device.dispatch.by_platform`.

    Returns:
        [S, C] in the accumulator's dtype. The last segment is the padding's: its sum is set to zero.

    Raises:
        ValueError: "numba" where it is not possible.
    """
    operands = source, weights, order, segments
    total = by_platform(_sum, method, *operands, numba=on_cpu.segment_sum, num_segments=num_segments, fan=fan)
    return zero_last_row(total)


def _sum(source, weights, order, segments, *, num_segments, fan, blocked):
    dtype = accumulator(source.dtype)

    def body(total, block):
        entry, segment = block
        rows = take_rows(source, entry // fan).astype(dtype)
        if weights is not None:
            rows = rows * take_rows(weights, entry).astype(dtype)[:, None]
        return total.at[segment].add(rows, indices_are_sorted=True, mode="promise_in_bounds"), None

    limit = max(8, BLOCK_BYTES // (source.shape[1] * dtype.itemsize))
    block = block_rows(order.shape[0], limit) if blocked else None
    init = jnp.zeros((num_segments, source.shape[1]), dtype)
    return scan_blocks(body, init, (order, segments), block, fill=(0, num_segments - 1))[0]
