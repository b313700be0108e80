"""Matrix products over gathered rows: what the forward and backward passes of all sparse convolutions are made of.

A table [N, T] names for each of N rows the T rows it reads. Gathering them side by side (im2col) turns the sum over
taps into one matrix product; `blocked` does so for a few megabytes of rows at a time. Nothing scatters, so results are
the same bytes at every run. Products have the dtype of `source`, sums over rows that of its accumulator.
"""

import jax
import jax.numpy as jnp

from kernels.device.blocks import accumulator, block_rows, matmul, scan_blocks, take_rows, zero_last_row

COLUMN_BYTES = 7 << 20
"""Gathered bytes per block on CPU: what stays in the last-level cache next to its matrix product."""


def _block(table: jax.Array, source: jax.Array, blocked: bool) -> int | None:
    rows, taps = table.shape
    row_bytes = taps * source.shape[1] * accumulator(source.dtype).itemsize
    return block_rows(rows, max(8, COLUMN_BYTES // row_bytes)) if blocked else None


def _columns(source: jax.Array, index: jax.Array) -> jax.Array:
    """[R, T] indices into [M, C] -> [R, T*C]."""
    return take_rows(source, index).reshape(index.shape[0], index.shape[1] * source.shape[1])


def gather_gemm(source: jax.Array, kernel: jax.Array, table: jax.Array, *, blocked: bool) -> jax.Array:
    """out[n] = sum_t source[table[n, t]] @ kernel[t]; source [M, A], kernel [T, A, B], table int32 [N, T] -> [N, B]."""
    matrix = kernel.reshape(-1, kernel.shape[2])

    def body(carry, index):
        return carry, matmul(_columns(source, index), matrix).astype(source.dtype)

    return scan_blocks(body, None, table, _block(table, source, blocked))[1]


def gather_outer(rows: jax.Array, source: jax.Array, table: jax.Array, *, blocked: bool) -> jax.Array:
    """out[t] = sum_n rows[n]^T source[table[n, t]]; rows [N, A], source [M, B], table int32 [N, T] -> [T, A, B]."""
    return _gather_both(rows, source, None, table, blocked)[1]


def gather_gemm_outer(
    rows: jax.Array, source: jax.Array, kernel: jax.Array, table: jax.Array, *, blocked: bool
) -> tuple[jax.Array, jax.Array]:
    """(gather_gemm(source, kernel, table), gather_outer(rows, source, table)) from one gather.

    rows [N, A], source [M, B], kernel [T, B, A], table int32 [N, T] -> [N, A] and [T, A, B]. Whatever the last row of
    `source` holds counts as zero.
    """
    return _gather_both(rows, zero_last_row(source), kernel.reshape(-1, kernel.shape[2]), table, blocked)


def _gather_both(rows, source, matrix, table, blocked):
    """Both products of the gathered rows; with `matrix` None the first one is None."""

    def body(total, block):
        row, index = block
        columns = _columns(source, index)
        product = None if matrix is None else matmul(columns, matrix).astype(source.dtype)
        return total + matmul(row.T, columns), product

    taps, width = table.shape[1], source.shape[1]
    init = jnp.zeros((rows.shape[1], taps * width), accumulator(source.dtype))
    total, product = scan_blocks(body, init, (rows, table), _block(table, source, blocked))
    return product, total.reshape(-1, taps, width).transpose(1, 0, 2)


def slot_gemm(source: jax.Array, kernel: jax.Array, slots: jax.Array, *, blocked: bool) -> jax.Array:
    """out[p] = source[slots[p] // T] @ kernel[slots[p] % T]; source [Q, A], kernel [T, A, B], slots [P] -> [P, B].

    All T products of a row are made at once, then each slot takes its own, `blocked` or not.
    """
    taps, width, out = kernel.shape
    products = matmul(source, kernel.transpose(1, 0, 2).reshape(width, taps * out)).astype(source.dtype)
    return take_rows(products.reshape(-1, out), slots)


def slot_gemm_outer(
    source: jax.Array, rows: jax.Array, kernel: jax.Array, slots: jax.Array, table: jax.Array, *, blocked: bool
) -> tuple[jax.Array, jax.Array]:
    """(slot_gemm(source, kernel, slots), gather_outer(source, rows, table)).

    source [Q, B], rows [P, A], kernel [T, B, A], slots int32 [P], table int32 [Q, T] -> [P, A] and [T, B, A].
    Whatever rows of `source` hold for which the table has no entry counts as zero.
    """
    source = jnp.where((table != rows.shape[0] - 1).any(axis=1, keepdims=True), source, 0)
    return slot_gemm(source, kernel, slots, blocked=blocked), gather_outer(source, rows, table, blocked=blocked)


def segment_gemm(source: jax.Array, kernel: jax.Array, table: jax.Array) -> jax.Array:
    """`gather_gemm` [N, B] by gather, multiply and sorted segment-sum: the plain reference, differentiated by JAX.

    The last row of `source` is set to zero here, so that nothing flows back into it.
    """
    rows, taps = table.shape
    dtype = accumulator(source.dtype)
    messages = jnp.einsum("ntc,tcd->ntd", take_rows(zero_last_row(source), table), kernel, preferred_element_type=dtype)
    flat = messages.reshape(rows * taps, -1)
    target = jnp.repeat(jnp.arange(rows), taps)
    return jax.ops.segment_sum(flat, target, rows, indices_are_sorted=True).astype(source.dtype)
