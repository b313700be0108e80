"""One-ring attention on a mesh: every vertex attends to its neighbours (one head of torch-geometric 1.6.3's
TransformerConv, without its linear layers)."""

import functools
import math
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from kernels.device.attention_reference import attention_by_segments
from kernels.device.blocks import (
    accumulator,
    block_rows,
    by_platform,
    check_method,
    scan_blocks,
    take_rows,
    zero_last_row,
)
from kernels.device.tables import Rings, real_edges

METHODS = ("blocked", "segment_sum")
SHIFTS = ("vertex", "global")
BLOCK_ROWS = {True: 512, False: 16384}
"""Rows per block on CPU and elsewhere: [rows, K, D] gathered values at a time."""
LOG_TINY = math.log(1e-16)


@functools.partial(jax.jit, static_argnames=("shift", "method"))
def one_ring_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    rings: Rings,
    keep: jax.Array | None = None,
    *,
    shift: str = "vertex",
    method: str | None = None,
) -> jax.Array:
    """y[i] = sum_j alpha[j -> i] value[j], alpha = softmax over the edges into i of (query[i] . key[j]) / sqrt(D).

    Args:
      query: float [V, D], read by targets.
      key: float [V, D], read by sources.
      value: float [V, Dv], read by sources.
      rings: the symmetric one-rings, int32 (`kernels.device.tables.Rings`); indices are trusted.
      keep: bool [V*K + O] by flat edge id, False where the edge was sampled away; None keeps all. The two directions of
        an edge are independent. Absent slots are masked whatever it says.
      shift: what is subtracted before exp. "vertex": the maximum over the edges into i. "global": the maximum M over
        all edges, and 1e-16 added to the denominator; alphas of vertices whose scores lie more than about 30 below M
        then shrink, and the gradient flows through M too, shared among ties.
      method: "blocked", "segment_sum" (the plain reference) or None: blocked.

    Returns:
      [V, Dv] in the dtype of `value`; zero for a vertex without edges and in padding rows. The gradient of the blocked
      form gathers along `rings.reverse`, reverse mode only.

    Raises:
      AssertionError: shapes do not fit. ValueError: unknown shift or method.
    """
    check_method(method, METHODS)
    if shift not in SHIFTS:
        raise ValueError(f"shift {shift!r} is unknown; known are {', '.join(map(repr, SHIFTS))}")
    rows, slots = rings.ring.shape
    edges = rings.overflow_target.shape[0]
    chex.assert_shape([query, key, value], [(rows, query.shape[1]), (rows, query.shape[1]), (rows, None)])
    chex.assert_equal_shape([rings.ring, rings.reverse])
    chex.assert_equal_shape([rings.overflow_target, rings.overflow_source, rings.overflow_reverse])
    if keep is not None:
        chex.assert_shape(keep, (rows * slots + edges,))
    if method == "segment_sum":
        return attention_by_segments(query, key, value, rings, keep, shift)
    return _attend(shift, query, key, value, rings, keep)


class _Weights(NamedTuple):
    """What the softmax leaves for the backward pass; slots [V, K] and overflow [O] of every field lie apart."""

    alpha: tuple[jax.Array, jax.Array]
    leak: jax.Array | None
    """[V], share of the denominator that is the added 1e-16; None for shift="vertex"."""
    top: tuple[jax.Array, jax.Array] | None
    """Each edge's share in the global maximum: 1 / (number of ties) or 0; None for shift="vertex"."""


def _scan_rows(body: Any, arrays: Any, blocked: bool) -> Any:
    rows = jax.tree.leaves(arrays)[0].shape[0]
    block = block_rows(rows, BLOCK_ROWS[blocked])
    return scan_blocks(lambda carry, parts: (carry, body(*parts)), None, arrays, block)[1]


def _add(total: jax.Array, rings: Rings, update: jax.Array) -> jax.Array:
    """total [V, ...] + the sums per target of `update` [O, ...], which is sorted by target."""
    at = total.at[rings.overflow_target]
    return at.add(update, indices_are_sorted=True, mode="promise_in_bounds")


def _scores(query: jax.Array, key: jax.Array, rings: Rings, blocked: bool) -> tuple[jax.Array, jax.Array]:
    dtype = accumulator(query.dtype)
    query = query * jnp.asarray(query.shape[1] ** -0.5, dtype)

    def body(target, index):
        return jnp.einsum("nd,nkd->nk", target, take_rows(key, index).astype(dtype))

    targets, sources = take_rows(query, rings.overflow_target), take_rows(key, rings.overflow_source)
    return _scan_rows(body, (query, rings.ring), blocked), jnp.sum(targets * sources.astype(dtype), axis=1)


def _softmax(scores: tuple[jax.Array, jax.Array], rings: Rings, keep: jax.Array | None, shift: str) -> _Weights:
    mask, extra_mask = real_edges(rings, keep)
    slot = jnp.where(mask, scores[0], -jnp.inf)
    extra = jnp.where(extra_mask, scores[1], -jnp.inf)
    peak = slot.max(axis=1).at[rings.overflow_target]
    peak = peak.max(extra, indices_are_sorted=True, mode="promise_in_bounds")
    some = jnp.isfinite(peak)
    base = jnp.where(some, peak, 0)
    slot_exp = jnp.exp(slot - base[:, None])
    extra_exp = jnp.exp(extra - take_rows(base, rings.overflow_target))
    total = _add(slot_exp.sum(axis=1), rings, extra_exp)
    leak = top = None
    if shift == "global":
        highest = peak.max()
        room = 0.9 * math.log(jnp.finfo(peak.dtype).max)
        tiny = jnp.where(some, jnp.exp(jnp.minimum(highest - base + LOG_TINY, room)), 0)
        total = total + tiny
        leak = tiny / jnp.where(some, total, 1)
        ties = (mask & (slot == highest), extra_mask & (extra == highest))
        share = 1 / jnp.maximum(ties[0].sum() + ties[1].sum(), 1).astype(peak.dtype)
        top = jax.tree.map(lambda tie: jnp.where(tie, share, 0), ties)
    scale = 1 / jnp.where(some, total, 1)
    return _Weights((slot_exp * scale[:, None], extra_exp * take_rows(scale, rings.overflow_target)), leak, top)


def _gather_sum(weights: tuple[jax.Array, jax.Array], source: jax.Array, rings: Rings, blocked: bool) -> jax.Array:
    """sum over the edges of each vertex of weight times source[neighbour], in the accumulator's dtype."""
    dtype = accumulator(source.dtype)

    def body(weight, index):
        return jnp.einsum("nk,nkd->nd", weight, take_rows(source, index).astype(dtype))

    total = _scan_rows(body, (weights[0], rings.ring), blocked)
    return _add(total, rings, weights[1][:, None] * take_rows(source, rings.overflow_source).astype(dtype))


def _forward(query, key, value, rings, keep, *, shift, blocked):
    weights = _softmax(_scores(query, key, rings, blocked), rings, keep, shift)
    return _gather_sum(weights.alpha, value, rings, blocked).astype(value.dtype), weights


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(shift, query, key, value, rings, keep):
    return _attend_forward(shift, query, key, value, rings, keep)[0]


def _attend_forward(shift, query, key, value, rings, keep):
    out, weights = by_platform(_forward, None, query, key, value, rings, keep, shift=shift)
    return out, (query, key, value, rings, keep, weights, out)


def _attend_backward(shift, saved, cotangent):
    del shift
    query, key, value, rings, keep, weights, out = saved
    grads = by_platform(_backward, None, query, key, value, rings, keep, weights, out, zero_last_row(cotangent))
    return *grads, None, None


def _backward(query, key, value, rings, keep, weights, out, cotangent, *, blocked):
    """With g = d loss / d y: d alpha = g[i] . value[j]; d score = alpha (d alpha - g[i] . y[i]).

    The sums at the sources run over the same rings: a source's outgoing edges are the opposite ones of its incoming
    edges, so their alpha and d score are gathered by `reverse`.
    """
    score_grads, dq = _target_grads(query, key, value, rings, keep, weights, out, cotangent, blocked)
    dtype = score_grads[0].dtype
    pairs = jnp.stack([_flat(weights.alpha), _flat(score_grads)], axis=1)

    def body(reverse, index):
        opposite = take_rows(pairs, reverse)
        dk = jnp.einsum("nk,nkd->nd", opposite[..., 1], take_rows(query, index).astype(dtype))
        return dk, jnp.einsum("nk,nkd->nd", opposite[..., 0], take_rows(cotangent, index).astype(dtype))

    dk, dv = _scan_rows(body, (rings.reverse, rings.ring), blocked)
    opposite = take_rows(pairs, rings.overflow_reverse)
    dk = _add(dk, rings, opposite[:, 1:] * take_rows(query, rings.overflow_source).astype(dtype))
    dv = _add(dv, rings, opposite[:, :1] * take_rows(cotangent, rings.overflow_source).astype(dtype))
    scale = query.shape[1] ** -0.5
    return (dq * scale).astype(query.dtype), (dk * scale).astype(key.dtype), dv.astype(value.dtype)


def _target_grads(query, key, value, rings, keep, weights, out, cotangent, blocked):
    """d score of every edge (slots, overflow), and the unscaled gradient of the query."""
    dtype = weights.alpha[0].dtype
    mask, extra_mask = real_edges(rings, keep)
    delta = jnp.sum(cotangent.astype(dtype) * out.astype(dtype), axis=1)
    peak_grad = None if weights.leak is None else -jnp.sum(jnp.where(weights.leak > 0, delta * weights.leak, 0))

    def score_grad(alpha, alpha_grad, delta, mask, top):
        grad = alpha * (alpha_grad - delta)
        if top is not None:
            grad = grad + peak_grad * top
        return jnp.where(mask, grad, 0)

    top, extra_top = weights.top or (None, None)

    def body(cot, delta, alpha, mask, index, top):
        alpha_grad = jnp.einsum("nd,nkd->nk", cot.astype(dtype), take_rows(value, index).astype(dtype))
        grad = score_grad(alpha, alpha_grad, delta[:, None], mask, top)
        return grad, jnp.einsum("nk,nkd->nd", grad, take_rows(key, index).astype(dtype))

    slots, dq = _scan_rows(body, (cotangent, delta, weights.alpha[0], mask, rings.ring, top), blocked)
    target, source = rings.overflow_target, rings.overflow_source
    products = take_rows(cotangent, target).astype(dtype) * take_rows(value, source).astype(dtype)
    extra = score_grad(weights.alpha[1], products.sum(axis=1), take_rows(delta, target), extra_mask, extra_top)
    return (slots, extra), _add(dq, rings, extra[:, None] * take_rows(key, source).astype(dtype))


def _flat(parts: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Slots [V, K] and overflow [O] as one array by flat edge id."""
    return jnp.concatenate([parts[0].reshape(-1), parts[1]])


_attend.defvjp(_attend_forward, _attend_backward)
