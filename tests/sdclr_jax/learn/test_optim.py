"""Optimisers against their formulas in NumPy; the ends of the schedules."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sdclr_jax.learn.optim import lars, sgd, step_decay, warmup_cosine


def run(tx, params, grads):
    state = tx.init(params)
    update = jax.jit(tx.update)
    for gradient in grads:
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_sgd_is_torchs():
    grads = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    weight, buffer = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    actual = run(sgd(lambda step: 0.1 / step, 0.9, 0.01), jnp.asarray(weight, jnp.float32), grads)
    for step, gradient in enumerate(grads, start=1):
        buffer = 0.9 * buffer + gradient + 0.01 * weight
        weight = weight - 0.1 / step * buffer
    np.testing.assert_allclose(actual, weight, rtol=1e-5)


def test_lars_takes_every_array_by_its_own_norm():
    """First step from zero buffers: the move is rate * trust * |w| / |g| along the gradient, whatever its size."""
    params = {"a": jnp.array([3.0, 4.0]), "b": jnp.array([1.0, 0.0]), "zero": jnp.zeros(2)}
    grads = {"a": jnp.array([1e3, 0.0]), "b": jnp.array([0.0, 1e-3]), "zero": jnp.array([1.0, 1.0])}
    after = run(lars(2.0, 0.9, 0.0, trust=0.1), params, [grads])
    np.testing.assert_allclose(after["a"], [3 - 2 * 0.1 * 5, 4], rtol=1e-6)
    np.testing.assert_allclose(after["b"], [1, -2 * 0.1 * 1], rtol=1e-6)
    np.testing.assert_allclose(after["zero"], [-2, -2])


def test_warmup_cosine_meets_its_ends():
    schedule = warmup_cosine(0.5, steps_per_epoch=3, epochs=20)
    np.testing.assert_allclose([schedule(s) for s in (0, 15, 30, 45, 60)], [0, 0.25, 0.5, 0.2500005, 1e-6], rtol=1e-5)
    rates = np.array([schedule(s) for s in range(61)])
    assert np.all(np.diff(rates[:31]) > 0)
    assert np.all(np.diff(rates[30:]) < 0)


def test_a_run_shorter_than_its_warmup_stays_in_it():
    schedule = warmup_cosine(0.5, steps_per_epoch=2, epochs=4)
    assert schedule(8) == pytest.approx(0.5 * 8 / 20)
    with pytest.raises(ValueError, match="epochs=0"):
        warmup_cosine(0.5, 2, 0)


def test_step_decay_takes_effect_in_or_after_its_epoch():
    at, after = (step_decay(30.0, (10, 20), decays_before_epoch=before) for before in (True, False))
    np.testing.assert_allclose([at(e) for e in (1, 9, 10, 19, 20)], [30, 30, 3, 3, 0.3], rtol=1e-6)
    np.testing.assert_allclose([after(e) for e in (1, 10, 11, 20, 21)], [30, 30, 3, 3, 0.3], rtol=1e-6)
