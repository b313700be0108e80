"""Moments per scene of a batch, as graph LayerNorm needs them.

The number of scenes is small, so sums per scene and the way back select by a mask [V, B]: no scatter in either
direction, and plain autodiff applies, forward and reverse.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from kernels.device.blocks import accumulator


class Moments(NamedTuple):
    """Over all rows and channels of each segment, in the accumulator's dtype; zero for an empty segment."""

    mean: jax.Array
    """[B]"""
    variance: jax.Array
    """[B], biased: divided by the number of entries."""


def _members(segments: jax.Array, num_segments: int) -> jax.Array:
    """bool [V, B]; rows of padding belong to no segment."""
    return segments[:, None] == jnp.arange(num_segments)


def _sums(values: jax.Array, member: jax.Array) -> jax.Array:
    """values [V] -> their sums [B]. Selecting, not multiplying: a NaN stays in its segment."""
    return jnp.where(member, values[:, None], 0).sum(axis=0)


def expand_segments(values: jax.Array, segments: jax.Array) -> jax.Array:
    """values [B], segments int32 [V] -> values[segments] [V], zero in rows whose segment is B (padding)."""
    chex.assert_rank([values, segments], 1)
    return jnp.where(_members(segments, values.shape[0]), values, 0).sum(axis=1)


def segment_moments(features: jax.Array, segments: jax.Array, num_segments: int) -> Moments:
    """Mean and biased variance of all entries of each segment, in two passes (the squares are of centred values).

    Args:
      features: float [V, C].
      segments: int32 [V], segment of each row; B (= num_segments) marks padding, which is left out. Any order.
      num_segments: B.
    """
    chex.assert_shape([features, segments], [(segments.shape[0], None), (None,)])
    values = features.astype(accumulator(features.dtype))
    member = _members(segments, num_segments)
    entries = jnp.maximum(member.sum(axis=0) * values.shape[1], 1).astype(values.dtype)
    mean = _sums(values.sum(axis=1), member) / entries
    centred = values - expand_segments(mean, segments)[:, None]
    return Moments(mean, _sums(jnp.square(centred).sum(axis=1), member) / entries)


def standardize_segments(features: jax.Array, segments: jax.Array, num_segments: int, eps: float = 1e-5) -> jax.Array:
    """(x - mean) / (std + eps) with the moments of each segment over its rows and channels; padding rows zero.

    The formula of torch-geometric 1.6.3's LayerNorm: eps is added to the standard deviation. The derivative of a
    constant segment's standard deviation is taken as zero.

    Args:
      features: float [V, C].
      segments: int32 [V], as for `segment_moments`.
      num_segments: B.
      eps: added to the standard deviation.

    Returns:
      [V, C] in the dtype of `features`.
    """
    mean, variance = segment_moments(features, segments, num_segments)
    spread = variance > 0
    std = jnp.where(spread, jnp.sqrt(jnp.where(spread, variance, 1)), 0)
    centred = features.astype(mean.dtype) - expand_segments(mean, segments)[:, None]
    scaled = centred * expand_segments(1 / (std + eps), segments)[:, None]
    return jnp.where((segments < num_segments)[:, None], scaled, 0).astype(features.dtype)
