"""The products of `kernels.device.sparse_conv.xla` as fused Pallas kernels for GPUs (Triton).

Rows are gathered straight into the matrix product; nothing of the 27-fold im2col reaches memory. Each program owns a
block of the result and sums it in float32 in its own order, so results are the same bytes at every run. Where the
program is not compiled for a GPU, the kernels run in Pallas' interpreter: correct, and slow.

JAX deprecates this backend of Pallas from 0.11 on. `unsupported_reason` is the switch: without the backend, the kernels
and their tests are off.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

try:
    from jax.experimental.pallas import triton
except ImportError:
    triton = None

TYPES = (jnp.float32, jnp.bfloat16, jnp.float16)
ROWS = 64
"""Rows of the table per program, or per step of the outer product."""
WIDEST, NARROWEST = 64, 16
"""Largest and smallest number of columns per program; Triton multiplies blocks of powers of two from 16 on."""
PARTS, PART_ROWS = 16, 2048
"""Largest number of partial sums in the outer product, and the rows that are worth one."""


def unsupported_reason() -> str | None:
    """Why this version of JAX cannot compile the kernels, None if it can."""
    return f"jax {jax.__version__} has no Triton backend of Pallas" if triton is None else None


def _block(width: int) -> int:
    return min(max(pl.next_power_of_2(width), NARROWEST), WIDEST)


def _lanes(start: jax.Array | int, count: int) -> jax.Array:
    return start + lax.iota(jnp.int32, count)


def _loop(start: jax.Array | int, end: jax.Array | int, body: Callable, init: jax.Array) -> jax.Array:
    return lax.fori_loop(jnp.int32(start), jnp.int32(end), body, init)


def _dot(left: jax.Array, right: jax.Array, axis: int) -> jax.Array:
    """The product over `axis` of `left` and axis 0 of `right`, in float32."""
    return lax.dot_general(left, right, (((axis,), (0,)), ((), ())), preferred_element_type=jnp.float32)


def _load(ref: jax.Ref, rows: jax.Array, columns: jax.Array, there: jax.Array, *lead: jax.Array) -> jax.Array:
    """Block [rows, columns] of a matrix in device memory, zero where `there` [rows] is false or beyond the columns."""
    mask = there[:, None] & (columns < ref.shape[-1])[None, :]
    return triton.load(ref.at[*lead, rows[:, None], columns[None, :]], mask=mask, other=0)


def _neighbours(table_ref: jax.Ref, rows: jax.Array, tap: jax.Array, absent: int) -> tuple[jax.Array, jax.Array]:
    """The rows that one column of the table names, and which of them exist."""
    index = triton.load(table_ref.at[rows, tap], mask=rows < table_ref.shape[0], other=absent)
    return index, index < absent


def _product(source_ref, kernel_ref, table_ref, out_ref):
    """One block of out[n] = sum_t source[table[n, t]] @ kernel[t]; grid: blocks of rows, blocks of columns."""
    taps, depth, width = kernel_ref.shape
    rows = _lanes(pl.program_id(0) * ROWS, ROWS)
    columns = _lanes(pl.program_id(1) * _block(width), _block(width))
    step = _block(depth)

    def add_tap(tap, total):
        index, there = _neighbours(table_ref, rows, tap, source_ref.shape[0] - 1)

        def add_columns(chunk, total):
            inner = _lanes(chunk * step, step)
            left = _load(source_ref, index, inner, there)
            right = _load(kernel_ref, inner, columns, inner < depth, tap)
            return total + _dot(left, right, 1)

        return _loop(0, pl.cdiv(depth, step), add_columns, total)

    total = _loop(0, taps, add_tap, jnp.zeros((ROWS, _block(width)), jnp.float32))
    mask = (rows < out_ref.shape[0])[:, None] & (columns < width)[None, :]
    triton.store(out_ref.at[rows[:, None], columns[None, :]], total.astype(out_ref.dtype), mask=mask)


def _outer(rows_ref, source_ref, table_ref, out_ref):
    """One block of a partial sum of rows[n]^T source[table[n, t]]; grid: parts x taps, blocks of A x blocks of B."""
    parts, taps, height, width = out_ref.shape
    part, tap = pl.program_id(0) // taps, pl.program_id(0) % taps
    blocks = pl.cdiv(width, _block(width))
    left_columns = _lanes(pl.program_id(1) // blocks * _block(height), _block(height))
    right_columns = _lanes(pl.program_id(1) % blocks * _block(width), _block(width))
    steps = pl.cdiv(table_ref.shape[0], ROWS)

    def add_rows(step, total):
        rows = _lanes(step * ROWS, ROWS)
        index, there = _neighbours(table_ref, rows, tap, source_ref.shape[0] - 1)
        left = _load(rows_ref, rows, left_columns, there)
        right = _load(source_ref, index, right_columns, there)
        return total + _dot(left, right, 0)

    init = jnp.zeros((_block(height), _block(width)), jnp.float32)
    total = _loop(part * steps // parts, (part + 1) * steps // parts, add_rows, init)
    mask = (left_columns < height)[:, None] & (right_columns < width)[None, :]
    triton.store(out_ref.at[part, tap, left_columns[:, None], right_columns[None, :]], total, mask=mask)


def _run(body: Callable, out: jax.ShapeDtypeStruct, grid: tuple[int, int], *operands: jax.Array) -> jax.Array:
    """The Pallas kernel on a GPU, its interpreter elsewhere; decided when the program is lowered."""
    if reason := unsupported_reason():
        raise ValueError(f'method "pallas" cannot be used: {reason}')
    if any(array.dtype not in TYPES for array in operands[:2]):
        known = ", ".join(jnp.dtype(kind).name for kind in TYPES)
        raise ValueError(f'method "pallas" takes {known}, not {", ".join(str(array.dtype) for array in operands[:2])}')
    compiled = pl.pallas_call(body, out, grid=grid, compiler_params=triton.CompilerParams(num_warps=4))
    interpreted = pl.pallas_call(body, out, grid=grid, interpret=True)
    return lax.platform_dependent(*operands, cuda=compiled, rocm=compiled, default=interpreted)


def gather_gemm(source: jax.Array, kernel: jax.Array, table: jax.Array) -> jax.Array:
    """out[n] = sum_t source[table[n, t]] @ kernel[t]; source [M, A], kernel [T, A, B], table [N, T] -> [N, B].

    The last row of `source` counts as zero, whatever it holds. Raises ValueError for other types than `TYPES`, and if
    there is an `unsupported_reason`.
    """
    rows, width = table.shape[0], kernel.shape[2]
    grid = pl.cdiv(rows, ROWS), pl.cdiv(width, _block(width))
    return _run(_product, jax.ShapeDtypeStruct((rows, width), source.dtype), grid, source, kernel, table)


def gather_gemm_outer(
    rows: jax.Array, source: jax.Array, kernel: jax.Array, table: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The product of `gather_gemm` [N, B], and out[t] = sum_n rows[n]^T source[table[n, t]], float32 [T, A, B].

    rows [N, A], source [M, B]; kernel and table as for `gather_gemm`.
    """
    (count, taps), height, width = table.shape, rows.shape[1], source.shape[1]
    parts = min(max(count // PART_ROWS, 1), PARTS)
    grid = parts * taps, pl.cdiv(height, _block(height)) * pl.cdiv(width, _block(width))
    out = jax.ShapeDtypeStruct((parts, taps, height, width), jnp.float32)
    outer = _run(_outer, out, grid, rows, source, table).sum(axis=0)
    return gather_gemm(source, kernel, table), outer
