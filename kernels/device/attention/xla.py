"""Dot products along the edges of a mesh and weighted sums over the ring of each vertex: what the forward and backward
passes of one-ring attention are made of.

A value per edge is a pair of arrays: slots [V, K] beside `rings.ring` and overflow [O] beside `rings.overflow_source`.
"""

from typing import Any

import jax
import jax.numpy as jnp

from kernels.device.blocks import accumulator, block_rows, scan_blocks, take_rows
from kernels.device.tables import Rings

Edges = tuple[jax.Array, jax.Array]

BLOCK_ROWS = {True: 512, False: 16384}
"""Rows per block, blocked or not: [rows, K, D] gathered values at a time."""


def _scan_rows(body: Any, arrays: Any, blocked: bool) -> jax.Array:
    rows = jax.tree.leaves(arrays)[0].shape[0]
    block = block_rows(rows, BLOCK_ROWS[blocked])
    return scan_blocks(lambda carry, parts: (carry, body(*parts)), None, arrays, block)[1]


def add_by_target(total: jax.Array, rings: Rings, update: jax.Array) -> jax.Array:
    """total [V, ...] + the sums per target of `update` [O, ...], which is sorted by target."""
    at = total.at[rings.overflow_target]
    return at.add(update, indices_are_sorted=True, mode="promise_in_bounds")


def edge_dots(targets: jax.Array, sources: jax.Array, real: Edges, rings: Rings, *, blocked: bool) -> Edges:
    """targets[i] . sources[j] for every edge j -> i, in the accumulator's dtype.

    targets, sources float [V, D]; real: bool per edge, where the product is wanted; elsewhere it may be anything.
    """
    del real
    dtype = accumulator(sources.dtype)

    def body(target, index):
        return jnp.einsum("nd,nkd->nk", target.astype(dtype), take_rows(sources, index).astype(dtype))

    slots = _scan_rows(body, (targets, rings.ring), blocked)
    target, source = take_rows(targets, rings.overflow_target), take_rows(sources, rings.overflow_source)
    return slots, jnp.sum(target.astype(dtype) * source.astype(dtype), axis=1)


def edge_sums(weights: Edges, sources: jax.Array, rings: Rings, *, opposite: bool, blocked: bool) -> jax.Array:
    """out[i] = sum over the edges j -> i of weight * sources[j], in the accumulator's dtype.

    weights: float per edge, zero where there is none; `opposite` takes for j -> i the weight of i -> j.
    """
    dtype = accumulator(sources.dtype)
    if opposite:
        flat = jnp.concatenate([weights[0].reshape(-1), weights[1]])
        weights = take_rows(flat, rings.reverse), take_rows(flat, rings.overflow_reverse)

    def body(weight, index):
        return jnp.einsum("nk,nkd->nd", weight, take_rows(sources, index).astype(dtype))

    total = _scan_rows(body, (weights[0], rings.ring), blocked)
    extra = weights[1][:, None] * take_rows(sources, rings.overflow_source).astype(dtype)
    return add_by_target(total, rings, extra)
