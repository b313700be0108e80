"""The sums of `kernels.device.trilinear` and `kernels.device.segment_sum` through the Numba kernels: the same arguments
and results, float32 and int32 only, on CPU. Entries out of range add nothing.
"""

import chex
import jax
import jax.numpy as jnp

from kernels.cpu_ffi.runtime.calls import call, compiled, whole_vectors


def interpolate(features: jax.Array, corners: jax.Array, weights: jax.Array) -> jax.Array:
    """out[v] = sum_c weights[v, c] * features[corners[v, c]]; features [P, C], corners, weights [V, 8] -> [V, C]."""
    chex.assert_type([features, corners, weights], [jnp.float32, jnp.int32, jnp.float32])
    chex.assert_shape([corners, weights], (None, 8))
    columns = whole_vectors(features)
    rows = corners.shape[0]
    items = -(-rows // compiled().weighted_sums.TILE)
    (out,) = call("table_sums", [(rows, columns.shape[1])], (columns, weights, corners), items)
    return out[:, : features.shape[1]]


def segment_sum(
    source: jax.Array, weights: jax.Array | None, order: jax.Array, segments: jax.Array, *, num_segments: int, fan: int
) -> jax.Array:
    """out[s] = sum of weights[order[e]] * source[order[e] // fan] over the entries e with segments[e] == s; the last
    segment's sum is zero. source [N, C], order, segments [E] -> [num_segments, C]; fan is a power of two."""
    chex.assert_type([source, order, segments], [jnp.float32, jnp.int32, jnp.int32])
    chex.assert_equal_shape([order, segments])
    if fan & (fan - 1):
        raise ValueError(f"fan must be a power of two, not {fan}")
    weighted = weights is not None
    weights = weights if weighted else jnp.ones(1, jnp.float32)
    chex.assert_type(weights, jnp.float32)
    columns = whole_vectors(source)
    shape = (num_segments, columns.shape[1])
    items = -(-num_segments // compiled().weighted_sums.TILE)
    plan = num_segments, fan.bit_length() - 1, int(weighted)
    (out,) = call("segment_sums", [shape], (columns, weights, order, segments), items, *plan)
    return out[:, : source.shape[1]]
