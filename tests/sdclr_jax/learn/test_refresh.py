"""The masks of an epoch, and what else a config says about the course of a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from sdclr_jax.learn.build import build_temperature, run_keys
from sdclr_jax.learn.masks import full_masks, magnitude_masks, mask_metrics, sparsity_report
from sdclr_jax.learn.step import TrainState, make_refresh


def state_at(step, seed=0):
    params = {"backbone": {"conv1": {"kernel": jax.random.normal(jax.random.key(seed), (4000,))}}}
    return TrainState(jnp.int32(step), params, {}, {}, full_masks(params))


def kernel_mask(state):
    return np.asarray(state.masks["backbone"]["conv1"]["kernel"])


def test_masks_come_from_the_dense_weights_of_the_moment():
    refresh = jax.jit(make_refresh(0.75, 0.0, steps_per_epoch=5))
    key = jax.random.key_data(jax.random.key(0))
    state, metrics = refresh(state_at(5), key)
    np.testing.assert_array_equal(
        kernel_mask(state), magnitude_masks(state.params, 0.75)["backbone"]["conv1"]["kernel"]
    )
    layer = "sparsity/backbone/conv1"
    assert metrics == pytest.approx({"sparsity": 0.75, "changed": 0.75, layer: 0.75})
    again, metrics = refresh(state, key)
    assert metrics == pytest.approx({"sparsity": 0.75, "changed": 0.0, layer: 0.75})
    np.testing.assert_array_equal(
        again.params["backbone"]["conv1"]["kernel"], state.params["backbone"]["conv1"]["kernel"]
    )


def test_random_part_is_drawn_anew_each_epoch_from_the_key():
    refresh = jax.jit(make_refresh(0.5, 0.2, steps_per_epoch=5))
    key, other = (jax.random.key_data(jax.random.key(seed)) for seed in (0, 1))
    first, metrics = refresh(state_at(5), key)
    assert metrics["sparsity"] == pytest.approx(0.5, abs=0.03)
    np.testing.assert_array_equal(kernel_mask(first), kernel_mask(refresh(state_at(9), key)[0]))
    for step, rng in ((10, key), (5, other)):
        assert (kernel_mask(first) != kernel_mask(refresh(state_at(step), rng)[0])).mean() > 0.1


def test_mask_metrics_by_hand():
    old = {"a": {"kernel": np.array([True, True])}, "b": {"c": {"kernel": np.array([False, False, False, False])}}}
    new = {"a": {"kernel": np.array([True, False])}, "b": {"c": {"kernel": np.array([True, False, False, False])}}}
    expected = {"sparsity": 4 / 6, "changed": 2 / 6, "sparsity/a": 0.5, "sparsity/b/c": 0.75}
    assert mask_metrics(old, new) == expected
    assert {f"sparsity/{layer.path}": layer.sparsity for layer in sparsity_report(new)[:-1]} == {
        name: value for name, value in expected.items() if "/" in name
    }


def test_temperature_is_constant_or_oscillates():
    constant = build_temperature(ConfigDict({"temperature": 0.3, "temperature_cycle": ()}))
    assert constant(17.0) == 0.3
    cycle = build_temperature(ConfigDict({"temperature": 0.3, "temperature_cycle": (0.1, 1.0, 200.0)}))
    np.testing.assert_allclose([cycle(epoch) for epoch in (0.0, 50.0, 100.0, 200.0)], [1.0, 0.55, 0.1, 1.0], atol=1e-6)


def test_keys_of_a_run_differ_by_purpose_and_seed():
    keys = [jax.random.key_data(key) for seed in (0, 1) for key in run_keys(ConfigDict({"seed": seed}))]
    assert len({tuple(np.asarray(key).tolist()) for key in keys}) == 6
