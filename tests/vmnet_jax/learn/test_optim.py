"""The optimiser against torch's rule in NumPy, and the schedule at its ends."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vmnet_jax.learn.optim import poly_schedule, sgd_dampened


@pytest.mark.parametrize(("momentum", "dampening", "decay"), [(0.9, 0.1, 1e-4), (0.5, 0.0, 0.0), (0.0, 0.0, 0.1)])
def test_follows_the_rule_of_torch(momentum, dampening, decay):
    rng = np.random.default_rng(0)
    expected = {"w": rng.normal(size=(3, 2)), "b": rng.normal(size=())}
    with jax.enable_x64(True):
        optimizer = sgd_dampened(0.2, momentum, dampening, decay)
        params = jax.tree.map(jnp.asarray, expected)
        state, buffers = optimizer.init(params), None
        for _ in range(4):
            gradients = jax.tree.map(lambda p: rng.normal(size=p.shape), expected)
            updates, state = optimizer.update(jax.tree.map(jnp.asarray, gradients), state, params)
            params = optax.apply_updates(params, updates)

            total = jax.tree.map(lambda g, p: g + decay * p, gradients, expected)
            if buffers is None:
                buffers = total
            else:
                buffers = jax.tree.map(lambda b, g: momentum * b + (1 - dampening) * g, buffers, total)
            expected = jax.tree.map(lambda p, b: p - 0.2 * b, expected, buffers)
            jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-13), params, expected)


def test_buffers_have_the_type_of_the_parameters():
    params = {"w": jnp.ones(3, jnp.bfloat16), "b": jnp.ones((), jnp.float32)}
    optimizer = sgd_dampened(poly_schedule(0.1, 5))
    updates, state = optimizer.update(params, optimizer.init(params), params)
    assert {n: u.dtype for n, u in updates.items()} == {n: p.dtype for n, p in params.items()}
    assert jax.tree.structure(state) == jax.tree.structure(optimizer.init(params))


def test_schedule_ends():
    schedule = poly_schedule(0.1, 80_000)
    assert schedule(0) == pytest.approx(0.1)
    assert schedule(80_000) == pytest.approx(0.1 * (1 / 80_001) ** 0.9, rel=1e-5)
    assert schedule(80_001) == 0
    assert schedule(90_000) == 0
    assert schedule(40_000) == pytest.approx(0.1 * (1 - 40_000 / 80_001) ** 0.9)


def test_schedule_of_a_counter_has_the_precision_that_is_enabled():
    with jax.enable_x64(True):
        rate = poly_schedule(0.1, 10)(jnp.int32(3))
    np.testing.assert_allclose(rate, 0.1 * (1 - 3 / 11) ** 0.9, rtol=1e-14)
