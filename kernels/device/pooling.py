"""Moving features between mesh levels along the traces that the simplification of the mesh left."""

import functools

import chex
import jax
import jax.numpy as jnp

from kernels.device.blocks import accumulator, take_rows, zero_last_row
from kernels.device.segment_sum import gather_segment_sum
from kernels.host.tables import Trace


@jax.jit
def unpool(features: jax.Array, trace: Trace) -> jax.Array:
    """y[f] = features[trace[f]]: every fine vertex takes the features of the coarse vertex it collapsed into.

    Args:
        features: float [V_coarse, C]; padding rows zero.
        trace: the coarse vertex of every fine one [V_fine], padded.

    Returns:
        [V_fine, C], padding rows zero. The gradient is a sorted segment-sum; reverse mode only.

    Raises:
        AssertionError: shapes do not fit.
    """
    chex.assert_rank([features, trace.trace], [2, 1])
    chex.assert_equal_shape(trace)
    return _unpool(features, trace)


@functools.partial(jax.jit, static_argnames="num_coarse")
def mean_pool(features: jax.Array, trace: Trace, *, num_coarse: int) -> jax.Array:
    """y[c] = mean of features[f] over the fine vertices f with trace[f] == c; zero without any.

    Args:
        features: float [V_fine, C]; padding rows zero.
        trace: as for `unpool`.
        num_coarse: rows of the result, V_coarse.

    Returns:
        [V_coarse, C], padding rows zero. Sums are sorted segment-sums, the gradient is a gather; reverse mode only.

    Raises:
        AssertionError: shapes do not fit.
    """
    chex.assert_shape([features, *trace], [(trace.trace.shape[0], None), *[(features.shape[0],)] * 3])
    return _mean_pool(num_coarse, features, trace)


@jax.custom_vjp
def _unpool(features, trace):
    return take_rows(features, trace.trace)


def _unpool_forward(features, trace):
    return _unpool(features, trace), (features.shape[0], trace)


def _unpool_backward(saved, cotangent):
    rows, trace = saved
    total = gather_segment_sum(cotangent, None, trace.order, trace.sorted_trace, rows)
    return total.astype(cotangent.dtype), None


_unpool.defvjp(_unpool_forward, _unpool_backward)


def _inverse_counts(trace: Trace, rows: int, dtype: jnp.dtype) -> jax.Array:
    """[rows, 1]: one over the number of fine vertices of each coarse one; one without any."""
    ones = jnp.ones(trace.sorted_trace.shape, dtype)
    counts = jax.ops.segment_sum(ones, trace.sorted_trace, rows, indices_are_sorted=True)
    return 1 / jnp.maximum(counts, 1)[:, None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _mean_pool(num_coarse, features, trace):
    total = gather_segment_sum(features, None, trace.order, trace.sorted_trace, num_coarse)
    return (total * _inverse_counts(trace, num_coarse, total.dtype)).astype(features.dtype)


def _mean_pool_forward(num_coarse, features, trace):
    return _mean_pool(num_coarse, features, trace), trace


def _mean_pool_backward(num_coarse, trace, cotangent):
    scale = _inverse_counts(trace, num_coarse, accumulator(cotangent.dtype))
    shares = zero_last_row((cotangent * scale).astype(cotangent.dtype))
    return take_rows(shares, trace.trace), None


_mean_pool.defvjp(_mean_pool_forward, _mean_pool_backward)
