"""The operations of `kernels.device.attention.xla` through the Numba kernels.

Arguments and results are the same, float32 and int32 only, on CPU. An edge from or to the last row,
or beyond it, adds nothing.
"""

import chex
import jax
import jax.numpy as jnp

from kernels.cpu_ffi.runtime.calls import call, compiled, whole_vectors

Edges = tuple[jax.Array, jax.Array]


def _check(rings, edges: Edges, kind: jnp.dtype, *features: jax.Array) -> None:
    tables = (rings.ring, rings.reverse, rings.overflow_target, rings.overflow_source, rings.overflow_reverse)
    chex.assert_type([*tables, *edges, *features], [jnp.int32] * 5 + [kind] * 2 + [jnp.float32] * len(features))
    chex.assert_equal_shape([rings.ring, rings.reverse, edges[0]])
    chex.assert_equal_shape([*tables[2:], edges[1]])
    chex.assert_shape(features, (rings.ring.shape[0], features[0].shape[1]))


def edge_dots(targets: jax.Array, sources: jax.Array, real: Edges, rings) -> Edges:
    """targets[i] . sources[j] for every real edge j -> i, zero for the others; targets, sources [V, D], `real` bool."""
    _check(rings, real, jnp.bool_, targets, sources)
    kernels = compiled().attention
    tiles = -(-rings.ring.shape[0] // kernels.TILE)
    extra_tiles = -(-rings.overflow_target.shape[0] // kernels.EDGE_TILE)
    edges = (*real, rings.ring, rings.overflow_target, rings.overflow_source)
    operands = (whole_vectors(targets), whole_vectors(sources), *edges)
    return tuple(call("edge_dots", [part.shape for part in real], operands, tiles + extra_tiles, tiles))


def edge_sums(weights: Edges, sources: jax.Array, rings, *, opposite: bool) -> jax.Array:
    """out[i] = sum over the edges j -> i of weight * sources[j], or of the weight of i -> j; sources [V, D]."""
    _check(rings, weights, jnp.float32, sources)
    columns = whole_vectors(sources)
    tiles = -(-rings.ring.shape[0] // compiled().attention.TILE)
    operands = (*weights, columns, *rings)
    (out,) = call("edge_sums", [columns.shape], operands, tiles, int(opposite))
    return out[:, : sources.shape[1]]
