"""Moments per segment against NumPy, scene by scene."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from kernels.device.segment import expand_segments, segment_moments, standardize_segments

SIZES = (40, 1, 0, 25)
CHANNELS = 6


@pytest.fixture(scope="module")
def batch():
    """Four segments, one of them empty, then 7 padding rows of garbage."""
    rng = np.random.default_rng(21)
    segments = np.repeat(np.arange(5), [*SIZES, 7]).astype(np.int32)
    return rng.normal(3, 2, size=(len(segments), CHANNELS)), segments


def test_moments_are_those_of_each_segment_alone(batch):
    features, segments = batch
    with jax.enable_x64(True):
        mean, variance = map(np.asarray, segment_moments(features, segments, 4))
    for segment in (0, 1, 3):
        rows = features[segments == segment]
        np.testing.assert_allclose(mean[segment], rows.mean(), rtol=1e-13)
        np.testing.assert_allclose(variance[segment], rows.var(), rtol=1e-13)
    assert mean[2] == variance[2] == 0


def test_variance_survives_a_large_mean():
    """float32 squares of 1e4 would leave nothing of a variance of 1."""
    rng = np.random.default_rng(22)
    features = (1e4 + rng.normal(size=(5000, 4))).astype(np.float32)
    _, variance = segment_moments(features, np.zeros(5000, np.int32), 1)
    np.testing.assert_allclose(variance[0], features.astype(np.float64).var(), rtol=1e-3)


def test_standardized_rows_follow_the_formula(batch):
    features, segments = batch
    with jax.enable_x64(True):
        out = np.asarray(standardize_segments(features, segments, 4))
    for segment in (0, 1, 3):
        rows = features[segments == segment]
        np.testing.assert_allclose(out[segments == segment], (rows - rows.mean()) / (rows.std() + 1e-5), atol=1e-12)
    assert not out[segments == 4].any()


def test_padding_is_inert(batch):
    """NaN in the cotangent and other values in the padding rows change nothing; their gradient is zero."""
    features, segments = batch
    other = features.copy()
    other[segments == 4] = 1e6
    cotangent = np.ones_like(features)
    garbage = np.where(segments[:, None] == 4, np.nan, cotangent)
    with jax.enable_x64(True):
        out, pull = jax.vjp(lambda x: standardize_segments(x, segments, 4), features)
        out_other, pull_other = jax.vjp(lambda x: standardize_segments(x, segments, 4), other)
        grad, grad_other = pull(jnp.asarray(cotangent))[0], pull_other(jnp.asarray(garbage))[0]
    np.testing.assert_array_equal(out, out_other)
    np.testing.assert_allclose(grad, grad_other, atol=1e-12)
    assert not np.asarray(grad_other)[segments == 4].any()


def test_gradient_equals_finite_differences(batch):
    features, segments = batch
    with jax.enable_x64(True):
        check_grads(lambda x: standardize_segments(x, segments, 4), (jnp.asarray(features),), order=1, modes=["rev"])


def test_a_constant_segment_has_a_finite_gradient():
    grad = jax.grad(lambda x: jnp.square(standardize_segments(x, np.zeros(9, np.int32), 1)).sum())(jnp.ones((9, 3)))
    np.testing.assert_array_equal(grad, 0)


def test_expand_gives_every_row_its_segments_value():
    out = expand_segments(jnp.array([10.0, 20.0]), jnp.array([0, 0, 1, 2]))
    np.testing.assert_array_equal(out, [10, 10, 20, 0])
