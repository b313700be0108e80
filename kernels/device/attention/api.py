"""One-ring attention on a mesh: every vertex attends to its neighbours.

It is one head of torch-geometric 1.6.3's TransformerConv (Shi et al., arXiv 2009.03509) without its linear layers.
"""

import functools
import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from kernels.cpu_ffi import bind as on_cpu
from kernels.device.attention.xla import Edges, add_by_target, edge_dots, edge_sums, max_by_target, real_edges
from kernels.device.blocks import accumulator, take_rows, zero_last_row
from kernels.device.dispatch import by_platform, check_method
from kernels.host.tables import Rings

SHIFTS = ("vertex", "global")


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
        rings: the symmetric one-rings, padded; indices are trusted.
        keep: bool [V*K + O] by flat edge id, False where the edge was sampled away; None keeps all. The two directions
            of an edge are independent. Absent slots are masked in any case.
        shift: what is subtracted before exp. "vertex": the maximum over the edges into i. "global": the maximum M over
            all edges, and 1e-16 added to the denominator; alphas of vertices whose scores are more than about 30 below
            M then shrink, and the gradient flows through M too, shared among ties.
        method: "numba" (compiled by Numba; float32 on CPU), "blocked" (512 rows at a time), "xla" (the same on CPU,
            16384 rows elsewhere), "segment_sum" (the plain reference) or None: numba where possible, else xla.

    Returns:
        [V, Dv] in the dtype of `value`; zero for a vertex without edges and in padding rows. The gradient of the fast
        forms gathers along `rings.reverse`, reverse mode only.

    Raises:
        AssertionError: shapes do not fit.
        ValueError: unknown shift or method, or "numba" where it is not possible.
    """
    check_method(method, ("numba", "xla", "blocked", "segment_sum"))
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
        return _attend_by_segments(query, key, value, (rings, keep), shift)
    return _attend((shift, method), query, key, value, (rings, keep))


class _Weights(NamedTuple):
    """What the softmax leaves for the backward pass."""

    exp: Edges
    """exp(score - shift) of every edge; times `scale` of the target it is alpha. The product is not kept."""
    scale: jax.Array
    """[V], one by the denominator."""
    leak: jax.Array | None
    """[V], share of the denominator that is the added 1e-16; None for shift="vertex"."""
    top: Edges | None
    """Each edge's share in the global maximum: 1 / (number of ties) or 0; None for shift="vertex"."""


def _softmax(scores: Edges, real: Edges, rings: Rings, shift: str) -> _Weights:
    slot, extra = (jnp.where(mask, score, -jnp.inf) for mask, score in zip(real, scores))
    peak = max_by_target(slot, rings, extra)
    some = jnp.isfinite(peak)
    base = jnp.where(some, peak, 0)
    slot_exp = jnp.exp(slot - base[:, None])
    extra_exp = jnp.exp(extra - take_rows(base, rings.overflow_target))
    total = add_by_target(slot_exp.sum(axis=1), rings, extra_exp)
    leak = top = None
    if shift == "global":
        highest = peak.max()
        room = 0.9 * math.log(jnp.finfo(peak.dtype).max)
        tiny = jnp.where(some, jnp.exp(jnp.minimum(highest - base + math.log(1e-16), room)), 0)
        total = total + tiny
        leak = tiny / jnp.where(some, total, 1)
        ties = (real[0] & (slot == highest), real[1] & (extra == highest))
        share = 1 / jnp.maximum(ties[0].sum() + ties[1].sum(), 1).astype(peak.dtype)
        top = jax.tree.map(lambda tie: jnp.where(tie, share, 0), ties)
    return _Weights((slot_exp, extra_exp), 1 / jnp.where(some, total, 1), leak, top)


def _sums(method: str | None, weights: Edges, sources: jax.Array, rings: Rings, *, opposite: bool = False) -> jax.Array:
    return by_platform(edge_sums, method, weights, sources, rings, numba=on_cpu.edge_sums, opposite=opposite)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(options, query, key, value, tables):
    return _attend_forward(options, query, key, value, tables)[0]


def _attend_forward(options, query, key, value, tables):
    (shift, method), (rings, keep) = options, tables
    real = real_edges(rings, keep)
    scaled = query * jnp.asarray(query.shape[1] ** -0.5, accumulator(query.dtype))
    scores = by_platform(edge_dots, method, scaled, key, real, rings, numba=on_cpu.edge_dots)
    weights = _softmax(scores, real, rings, shift)
    out = (_sums(method, weights.exp, value, rings) * weights.scale[:, None]).astype(value.dtype)
    return out, (query, key, value, tables, weights)


def _attend_backward(options, saved, cotangent):
    """With g = d loss / d y: d alpha = g[i] . value[j]; d score = alpha (d alpha - g[i] . y[i]).

    g[i] . y[i] is the sum of alpha d alpha over the edges into i. The sums at the sources run over the same rings: a
    source's outgoing edges are the opposite ones of its incoming edges, so their alpha and d score are read along
    `reverse`.
    """
    method = options[1]
    query, key, value, (rings, keep), weights = saved
    cotangent = zero_last_row(cotangent)
    real = real_edges(rings, keep)
    slot_grad, extra_grad = by_platform(edge_dots, method, cotangent, value, real, rings, numba=on_cpu.edge_dots)
    slot_alpha = weights.exp[0] * weights.scale[:, None]
    extra_alpha = weights.exp[1] * take_rows(weights.scale, rings.overflow_target)
    slots, extra = jnp.where(real[0], slot_alpha * slot_grad, 0), jnp.where(real[1], extra_alpha * extra_grad, 0)
    delta = add_by_target(slots.sum(axis=1), rings, extra)
    slots = slots - slot_alpha * delta[:, None]
    extra = extra - extra_alpha * take_rows(delta, rings.overflow_target)
    if weights.top is not None:
        peak_grad = -jnp.sum(jnp.where(weights.leak > 0, delta * weights.leak, 0))
        slots, extra = slots + peak_grad * weights.top[0], extra + peak_grad * weights.top[1]
    scale = query.shape[1] ** -0.5
    dq = _sums(method, (slots, extra), key, rings) * scale
    dk = _sums(method, (slots, extra), query, rings, opposite=True) * scale
    dv = _sums(method, weights.exp, cotangent * weights.scale[:, None], rings, opposite=True)
    return dq.astype(query.dtype), dk.astype(key.dtype), dv.astype(value.dtype), None


_attend.defvjp(_attend_forward, _attend_backward)


def _attend_by_segments(query, key, value, tables, shift):
    """The plain reference: sorted segment operations over V*K + O edges, differentiated by JAX itself.

    Both shifts are written as in the formula: with "global", alphas underflow where scores are far below the maximum.
    """
    rings, keep = tables
    rows, slots = rings.ring.shape
    dtype = accumulator(value.dtype)
    target = jnp.concatenate([jnp.repeat(jnp.arange(rows), slots), rings.overflow_target])
    source = jnp.concatenate([rings.ring.reshape(-1), rings.overflow_source])
    real = jnp.concatenate([part.reshape(-1) for part in real_edges(rings, keep)])

    def by_target(operation, edges):
        """The operation on both lists of edges: each is sorted by target, their concatenation is not."""
        lists = (slice(0, rows * slots), slice(rows * slots, None))
        return [operation(edges[part], target[part], rows, indices_are_sorted=True) for part in lists]

    products = take_rows(query, target).astype(dtype) * take_rows(key, source).astype(dtype)
    scores = jnp.where(real, products.sum(axis=1) * query.shape[1] ** -0.5, -jnp.inf)
    if shift == "global":
        peak, tiny = scores.max(), 1e-16
        peak = jnp.where(jnp.isfinite(peak), peak, 0)
    else:
        peak, tiny = jax.lax.stop_gradient(jnp.maximum(*by_target(jax.ops.segment_max, scores))), 0
        peak = take_rows(jnp.where(jnp.isfinite(peak), peak, 0), target)
    weights = jnp.exp(scores - peak)
    total = sum(by_target(jax.ops.segment_sum, weights)) + tiny
    alpha = weights / take_rows(jnp.where(total > 0, total, 1), target)
    messages = alpha[:, None] * take_rows(value, source).astype(dtype)
    return sum(by_target(jax.ops.segment_sum, messages)).astype(value.dtype)
