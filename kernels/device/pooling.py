"""Moving features between mesh levels along the traces that the collapse of the mesh left."""

import functools

import chex
import jax
import jax.numpy as jnp

from kernels.device.blocks import accumulator, take_rows, zero_last_row
from kernels.device.segment_sum import gather_segment_sum


@jax.jit
def unpool(features: jax.Array, trace: jax.Array, order: jax.Array, sorted_trace: jax.Array) -> jax.Array:
    """y[f] = features[trace[f]]: every fine vertex takes the features of the coarse vertex it collapsed into.

    Args:
      features: float [V_coarse, C]; padding rows zero.
      trace: int32 [V_fine], padding V_coarse-1.
      order: int32 [V_fine], stable argsort of trace.
      sorted_trace: int32 [V_fine], trace[order].

    Returns:
      [V_fine, C], padding rows zero. The gradient is a sorted segment-sum; reverse mode only.

    Raises:
      AssertionError: shapes do not fit.
    """
    _check(features, trace, order, sorted_trace)
    return _unpool(features, trace, order, sorted_trace)


@functools.partial(jax.jit, static_argnames="num_coarse")
def mean_pool(
    features: jax.Array, trace: jax.Array, order: jax.Array, sorted_trace: jax.Array, *, num_coarse: int
) -> jax.Array:
    """y[c] = mean of features[f] over the fine vertices f with trace[f] == c; zero where there is none.

    Args:
      features: float [V_fine, C]; padding rows zero.
      trace: as for `unpool`.
      order: as for `unpool`.
      sorted_trace: as for `unpool`.
      num_coarse: rows of the result, V_coarse.

    Returns:
      [V_coarse, C], padding rows zero. Sums are sorted segment-sums, the gradient is a gather; reverse mode only.

    Raises:
      AssertionError: shapes do not fit.
    """
    _check(features, trace, order, sorted_trace)
    chex.assert_axis_dimension(features, 0, trace.shape[0])
    return _mean_pool(num_coarse, features, trace, order, sorted_trace)


def _check(features: jax.Array, trace: jax.Array, order: jax.Array, sorted_trace: jax.Array) -> None:
    chex.assert_rank([features, trace], [2, 1])
    chex.assert_equal_shape([trace, order, sorted_trace])


@jax.custom_vjp
def _unpool(features, trace, order, sorted_trace):
    del order, sorted_trace
    return take_rows(features, trace)


def _unpool_forward(features, trace, order, sorted_trace):
    return take_rows(features, trace), (features.shape[0], order, sorted_trace)


def _unpool_backward(saved, cotangent):
    rows, order, sorted_trace = saved
    total = gather_segment_sum(cotangent, None, order, sorted_trace, rows)
    return total.astype(cotangent.dtype), None, None, None


_unpool.defvjp(_unpool_forward, _unpool_backward)


def _inverse_counts(sorted_trace: jax.Array, rows: int, dtype: jnp.dtype) -> jax.Array:
    """[rows, 1]: one over the number of fine vertices of each coarse one; one where there is none."""
    ones = jnp.ones(sorted_trace.shape, dtype)
    counts = jax.ops.segment_sum(ones, sorted_trace, rows, indices_are_sorted=True)
    return 1 / jnp.maximum(counts, 1)[:, None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _mean_pool(num_coarse, features, trace, order, sorted_trace):
    del trace
    total = gather_segment_sum(features, None, order, sorted_trace, num_coarse)
    return (total * _inverse_counts(sorted_trace, num_coarse, total.dtype)).astype(features.dtype)


def _mean_pool_forward(num_coarse, features, trace, order, sorted_trace):
    return _mean_pool(num_coarse, features, trace, order, sorted_trace), (trace, sorted_trace)


def _mean_pool_backward(num_coarse, saved, cotangent):
    trace, sorted_trace = saved
    scale = _inverse_counts(sorted_trace, num_coarse, accumulator(cotangent.dtype))
    shares = zero_last_row((cotangent * scale).astype(cotangent.dtype))
    return take_rows(shares, trace), None, None, None


_mean_pool.defvjp(_mean_pool_forward, _mean_pool_backward)
