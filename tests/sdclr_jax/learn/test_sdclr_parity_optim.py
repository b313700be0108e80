"""Optimisers and learning rates against the original's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sdclr_jax.learn.optim import lars, sgd, step_decay, warmup_cosine
from tests.parity_tools import assert_close_in_norm, assert_close_to_largest

pytestmark = pytest.mark.parity

ARRAYS = ("conv.weight", "bn.weight", "bn.bias", "fc.weight", "zero_param", "zero_grad")


@pytest.fixture(scope="module")
def optim(open_fixture):
    return open_fixture("sdclr/optim.npz")


@pytest.fixture(scope="module")
def schedules(open_fixture):
    return open_fixture("sdclr/schedules.npz")


@pytest.mark.parametrize("config", ["default", "heavywd"])
def test_lars(optim, config):
    rate, weight_decay, momentum, trust = map(float, optim[f"{config}/lr_wd_mom_eta"])
    tx = lars(rate, momentum, weight_decay, trust)
    with jax.enable_x64(True):
        params = {name: jnp.asarray(optim[f"{config}/p0/{name}"], jnp.float64) for name in ARRAYS}
        state = tx.init(params)
        for i in range(3):
            grads = {name: jnp.asarray(optim[f"{config}/g{i}/{name}"], jnp.float64) for name in ARRAYS}
            updates, state = tx.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            for name in ARRAYS:
                assert_close_to_largest(params[name], optim.float32(f"{config}/p{i + 1}/{name}"), what=name)
                assert_close_to_largest(state.buffers[name], optim.float32(f"{config}/buf{i + 1}/{name}"), what=name)


def test_sgd(optim):
    """On the convolution of the first LARS configuration: rate 0.5, momentum 0.9, weight decay 1e-4."""
    tx = sgd(0.5, 0.9, 1e-4)
    with jax.enable_x64(True):
        params = jnp.asarray(optim["default/p0/conv.weight"], jnp.float64)
        state = tx.init(params)
        for i in range(3):
            updates, state = tx.update(jnp.asarray(optim[f"default/g{i}/conv.weight"], jnp.float64), state, params)
            params = optax.apply_updates(params, updates)
            assert_close_to_largest(params, optim.float32(f"sgd/p{i + 1}"))


@pytest.mark.parametrize("run", ["cifar10", "cifar100", "in100", "short"])
def test_warmup_cosine(schedules, run):
    steps_per_epoch, epochs, base_lr = schedules[f"{run}/iters_epochs_lr"]
    with jax.enable_x64(True):
        schedule = warmup_cosine(float(base_lr), int(steps_per_epoch), int(epochs))
        rates = np.array([schedule(step) for step in schedules[f"{run}/steps"]])
        np.testing.assert_allclose(rates, schedules[f"{run}/lr"], rtol=1e-9, atol=1e-15)
        tx = sgd(schedule, 0.0)
        state, used = tx.init(jnp.zeros(())), []
        for _ in schedules[f"{run}/first_used_lr"]:
            update, state = tx.update(jnp.ones(()), state, jnp.zeros(()))
            used.append(-update)
        assert_close_in_norm(used, schedules[f"{run}/first_used_lr"], 1e-9)


@pytest.mark.parametrize(
    ("program", "length", "decay_epochs"),
    [("full", 30, (10, 20)), ("fewshot", 100, (40, 60))],
)
@pytest.mark.parametrize("data", ["cifar", "imagenet"])
def test_linear_evaluation_rates(schedules, data, program, length, decay_epochs):
    with jax.enable_x64(True):
        schedule = step_decay(30.0, decay_epochs, decays_before_epoch=data == "cifar")
        rates = [schedule(epoch) for epoch in range(1, length + 1)]
    np.testing.assert_allclose(rates, schedules[f"lineval_{data}_{program}"], rtol=1e-9)


def test_every_array_was_compared(optim, schedules):
    assert not optim.unread
    assert not schedules.unread
