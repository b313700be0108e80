"""Values on the edges of a mesh, and their mean, maximum or vector attention at each vertex.

A value per edge is an array [E, C] by flat edge id, E = V*K + O (`kernels.host.tables.Rings`). What absent edges hold
is ignored. The edges' own function, such as a small network, goes between `gather_targets`, `gather_sources` and a
reduction.
"""

import chex
import jax
import jax.numpy as jnp

from kernels.device.attention.xla import add_by_target, max_by_target, real_edges
from kernels.device.blocks import accumulator, take_rows
from kernels.host.tables import Rings


def edge_mask(rings: Rings, keep: jax.Array | None = None) -> jax.Array:
    """bool [E] by flat edge id: the edge exists and `keep` (bool [E], None for all) has it."""
    slots, overflow = real_edges(rings, keep)
    return jnp.concatenate([slots.reshape(-1), overflow])


def gather_targets(features: jax.Array, rings: Rings) -> jax.Array:
    """out[j -> i] = features[i]: float [V, C] -> [E, C]; what absent edges hold is arbitrary. Any autodiff mode."""
    rows, slots = rings.ring.shape
    chex.assert_shape(features, (rows, None))
    spread = jnp.broadcast_to(features[:, None], (rows, slots, features.shape[1])).reshape(rows * slots, -1)
    at = jnp.asarray(features).at[rings.overflow_target]
    return jnp.concatenate([spread, at.get(indices_are_sorted=True, mode="promise_in_bounds")])


def gather_sources(features: jax.Array, rings: Rings) -> jax.Array:
    """out[j -> i] = features[j]: float [V, C] -> [E, C], zero for absent edges.

    Its derivative gathers too, along `rings.reverse`; reverse mode only. Cotangents of absent edges are ignored.
    """
    chex.assert_shape(features, (rings.ring.shape[0], None))
    return _gather(features, rings)


def one_ring_mean(values: jax.Array, rings: Rings, keep: jax.Array | None = None) -> jax.Array:
    """y[i] = mean of values[j -> i] over the edges into i; zero for a vertex without any, and in padding rows.

    Args:
        values: float [E, C] by flat edge id.
        rings: the one-rings, padded.
        keep: bool [E], False where an edge is dropped; None keeps all.

    Returns:
        [V, C] in the dtype of `values`.
    """
    mask = _checked_mask(values, rings, keep)
    count = _sum(mask.astype(accumulator(values.dtype)), mask, rings)
    return (_sum(values, mask, rings) / jnp.maximum(count, 1)).astype(values.dtype)


def one_ring_max(values: jax.Array, rings: Rings, keep: jax.Array | None = None) -> jax.Array:
    """y[i] = maximum of values[j -> i] over the edges into i, by channel [V, C]; arguments as `one_ring_mean`.

    Edges that attain the maximum together share its gradient evenly.
    """
    mask = _checked_mask(values, rings, keep)
    top = mask & (values == gather_targets(_peak(values, mask, rings), rings))
    ties = _sum(top.astype(accumulator(values.dtype)), mask, rings)
    return (_sum(values, top, rings) / jnp.maximum(ties, 1)).astype(values.dtype)


def one_ring_vector_attention(
    scores: jax.Array, value: jax.Array, rings: Rings, keep: jax.Array | None = None
) -> jax.Array:
    """y[i] = sum_j alpha[j -> i] * value[j], alpha = softmax of the scores over the edges into i, for each channel.

    After Zhao et al., CVPR 2020 and ICCV 2021 (arXiv 2004.13621, 2012.09164).

    Args:
        scores: float [E, D] by flat edge id.
        value: float [V, D], read at sources.
        rings: the one-rings, padded.
        keep: bool [E], False where an edge is dropped; None keeps all.

    Returns:
        [V, D] in the dtype of `value`; zero for a vertex without edges and in padding rows.
    """
    chex.assert_equal(scores.shape[1], value.shape[1])
    mask = _checked_mask(scores, rings, keep)
    wide = scores.astype(accumulator(scores.dtype))
    shifted = wide - gather_targets(_peak(wide, mask, rings), rings)
    weights = jnp.where(mask, jnp.exp(jnp.where(mask, shifted, 0)), 0)
    total = _sum(weights, mask, rings)
    mixed = _sum(weights * gather_sources(value, rings), mask, rings)
    return (mixed / jnp.where(total > 0, total, 1)).astype(value.dtype)


def _checked_mask(values: jax.Array, rings: Rings, keep: jax.Array | None) -> jax.Array:
    """bool [E, 1]"""
    mask = edge_mask(rings, keep)[:, None]
    chex.assert_shape(values, (mask.shape[0], None))
    return mask


def _split(values: jax.Array, rings: Rings) -> tuple[jax.Array, jax.Array]:
    """[E, C] -> [V, K, C] and [O, C]"""
    rows, slots = rings.ring.shape
    return values[: rows * slots].reshape(rows, slots, values.shape[1]), values[rows * slots :]


def _sum(values: jax.Array, mask: jax.Array, rings: Rings) -> jax.Array:
    """Sums over the edges into each vertex, [E, C] -> [V, C], in the accumulator's dtype."""
    slots, extra = _split(jnp.where(mask, values, 0).astype(accumulator(values.dtype)), rings)
    return add_by_target(slots.sum(axis=1), rings, extra)


def _peak(values: jax.Array, mask: jax.Array, rings: Rings) -> jax.Array:
    """Maxima over the edges into each vertex [V, C], zero without edges; constant to the derivative."""
    slots, extra = _split(jax.lax.stop_gradient(jnp.where(mask, values, -jnp.inf)), rings)
    peak = max_by_target(slots, rings, extra)
    return jnp.where(jnp.isneginf(peak), 0, peak)


@jax.custom_vjp
def _gather(features, rings):
    slots, extra = take_rows(features, rings.ring.reshape(-1)), take_rows(features, rings.overflow_source)
    return jnp.where(edge_mask(rings)[:, None], jnp.concatenate([slots, extra]), 0)


def _gather_forward(features, rings):
    return _gather(features, rings), rings


def _gather_backward(rings, cotangent):
    """The edges out of a vertex are the opposite ones of those into it."""
    cotangent = jnp.where(edge_mask(rings)[:, None], cotangent, 0)
    dtype = accumulator(cotangent.dtype)
    slots = take_rows(cotangent, rings.reverse).astype(dtype).sum(axis=1)
    total = add_by_target(slots, rings, take_rows(cotangent, rings.overflow_reverse).astype(dtype))
    return total.astype(cotangent.dtype), None


_gather.defvjp(_gather_forward, _gather_backward)
