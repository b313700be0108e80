"""What one-ring operations are made of: dot products along edges, sums and maxima over the edges into each vertex.

A value per edge is a pair of arrays: slots [V, K] as in `rings.ring`, and overflow [O] as in `rings.overflow_source`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from kernels.device.blocks import accumulator, block_rows, scan_blocks, take_rows
from kernels.host.tables import Rings

Edges = tuple[jax.Array, jax.Array]

BLOCK_ROWS = {True: 512, False: 16384}
"""Rows per block, blocked or not: [rows, K, D] gathered values at a time."""


def real_edges(rings: Rings, keep: jax.Array | None) -> Edges:
    """Which edges exist and are kept (bool [V*K + O] by flat edge id, None keeps all): bool [V, K] and [O]."""
    absent = rings.ring.shape[0] - 1
    slots, overflow = rings.ring != absent, rings.overflow_target != absent
    if keep is None:
        return slots, overflow
    return slots & keep[: slots.size].reshape(slots.shape), overflow & keep[slots.size :]


def add_by_target(total: jax.Array, rings: Rings, update: jax.Array) -> jax.Array:
    """total [V, ...] + the sums per target of the overflow's `update` [O, ...]."""
    at = total.at[rings.overflow_target]
    return at.add(update, indices_are_sorted=True, mode="promise_in_bounds")


def max_by_target(slots: jax.Array, rings: Rings, extra: jax.Array) -> jax.Array:
    """Maxima over the edges into each vertex: slots [V, K, ...] and overflow [O, ...] -> [V, ...]."""
    at = slots.max(axis=1).at[rings.overflow_target]
    return at.max(extra, indices_are_sorted=True, mode="promise_in_bounds")


def _scan_rows(body: Callable[..., Any], arrays: Any, blocked: bool) -> jax.Array:
    block = block_rows(arrays[0].shape[0], BLOCK_ROWS[blocked])
    return scan_blocks(lambda carry, parts: (carry, body(*parts)), None, arrays, block)[1]


def edge_dots(targets: jax.Array, sources: jax.Array, real: Edges, rings: Rings, *, blocked: bool) -> Edges:
    """targets[i] . sources[j] for every edge j -> i, from float [V, D], in the accumulator's dtype.

    What it gives for edges that are not `real` is arbitrary.
    """
    dtype = accumulator(sources.dtype)

    def body(target, index):
        return jnp.einsum("nd,nkd->nk", target.astype(dtype), take_rows(sources, index).astype(dtype))

    slots = _scan_rows(body, (targets, rings.ring), blocked)
    target, source = take_rows(targets, rings.overflow_target), take_rows(sources, rings.overflow_source)
    return slots, jnp.sum(target.astype(dtype) * source.astype(dtype), axis=1)


def edge_sums(weights: Edges, sources: jax.Array, rings: Rings, *, opposite: bool, blocked: bool) -> jax.Array:
    """out[i] = sum over the edges j -> i of weight * sources[j], float [V, D], in the accumulator's dtype.

    Weights are zero where there is no edge; `opposite` takes for j -> i the weight of i -> j.
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
