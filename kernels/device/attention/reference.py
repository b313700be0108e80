"""One-ring attention over the list of edges: the plain reference, differentiated by JAX itself."""

import jax
import jax.numpy as jnp
from jax import lax

from kernels.device.blocks import accumulator, take_rows
from kernels.device.tables import Rings, real_edges


def attention_by_segments(
    query: jax.Array, key: jax.Array, value: jax.Array, rings: Rings, keep: jax.Array | None, shift: str
) -> jax.Array:
    """`one_ring_attention` by sorted segment operations over V*K + O edges; arguments as there.

    Both shifts are written as in the formula: with "global", alphas underflow where scores lie far below the maximum.
    """
    rows, slots = rings.ring.shape
    dtype = accumulator(value.dtype)
    target = jnp.concatenate([jnp.repeat(jnp.arange(rows), slots), rings.overflow_target])
    source = jnp.concatenate([rings.ring.reshape(-1), rings.overflow_source])
    real = jnp.concatenate([part.reshape(-1) for part in real_edges(rings, keep)])

    def by_target(operation, edges):
        """Applied to both lists of edges: each is sorted by target, their concatenation is not."""
        lists = (slice(0, rows * slots), slice(rows * slots, None))
        return [operation(edges[part], target[part], rows, indices_are_sorted=True) for part in lists]

    products = take_rows(query, target).astype(dtype) * take_rows(key, source).astype(dtype)
    scores = jnp.where(real, products.sum(axis=1) * query.shape[1] ** -0.5, -jnp.inf)
    if shift == "global":
        peak, tiny = scores.max(), 1e-16
        peak = jnp.where(jnp.isfinite(peak), peak, 0)
    else:
        peak, tiny = lax.stop_gradient(jnp.maximum(*by_target(jax.ops.segment_max, scores))), 0
        peak = take_rows(jnp.where(jnp.isfinite(peak), peak, 0), target)
    weights = jnp.exp(scores - peak)
    total = sum(by_target(jax.ops.segment_sum, weights)) + tiny
    alpha = weights / take_rows(jnp.where(total > 0, total, 1), target)
    messages = alpha[:, None] * take_rows(value, source).astype(dtype)
    return sum(by_target(jax.ops.segment_sum, messages)).astype(value.dtype)
