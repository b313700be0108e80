"""BatchNorm by branch against torch's definition written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdclr_jax.model.norm import DENSE, PRUNED, BranchNorm, ForwardMode, batch_moments


def setup(num_sets=2, **attributes):
    norm = BranchNorm(num_sets, **attributes)
    x = np.random.default_rng(0).normal(2, 3, (6, 2, 2, 4)).astype(np.float32)
    variables = norm.init(jax.random.key(0), x, ForwardMode())
    rng = np.random.default_rng(1)
    return norm, jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(0.5, 2, leaf.shape), jnp.float32), variables), x


@pytest.mark.parametrize("branch", [DENSE, PRUNED])
def test_training_pass_uses_the_batch_and_moves_its_own_set(branch):
    norm, variables, x = setup()
    y, updated = norm.apply(variables, x, ForwardMode(branch, train=True), mutable=["batch_stats"])
    params, before, after = variables["params"], variables["batch_stats"], updated["batch_stats"]
    rows = x.reshape(-1, 4).astype(np.float64)
    mean, variance = rows.mean(0), rows.var(0)
    expected = (x - mean) / np.sqrt(variance + 1e-5) * params[f"scale_{branch}"] + params[f"bias_{branch}"]
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(after[f"mean_{branch}"], 0.9 * before[f"mean_{branch}"] + 0.1 * mean, rtol=1e-5)
    unbiased = rows.var(0, ddof=1)
    np.testing.assert_allclose(after[f"var_{branch}"], 0.9 * before[f"var_{branch}"] + 0.1 * unbiased, rtol=1e-5)
    for name in (f"mean_{1 - branch}", f"var_{1 - branch}"):
        np.testing.assert_array_equal(after[name], before[name])


def test_evaluation_uses_the_running_statistics_of_the_branch():
    norm, variables, x = setup()
    params, stats = variables["params"], variables["batch_stats"]
    for k in (DENSE, PRUNED):
        y = norm.apply(variables, x, ForwardMode(k))
        expected = (x - stats[f"mean_{k}"]) / np.sqrt(stats[f"var_{k}"] + 1e-5) * params[f"scale_{k}"]
        np.testing.assert_allclose(y, expected + params[f"bias_{k}"], atol=1e-5)


def test_one_set_serves_both_branches():
    norm, variables, x = setup(num_sets=1)
    assert set(variables["params"]) == {"scale_0", "bias_0"}
    np.testing.assert_array_equal(
        norm.apply(variables, x, ForwardMode(DENSE)), norm.apply(variables, x, ForwardMode(PRUNED))
    )


def test_two_updates_are_two_passes():
    once, variables, x = setup()
    twice = once.clone(prune_updates=2)
    for branch, passes in ((DENSE, 1), (PRUNED, 2)):
        expected = variables
        for _ in range(passes):
            _, updated = once.apply(expected, x, ForwardMode(branch, train=True), mutable=["batch_stats"])
            expected = variables | updated
        _, actual = twice.apply(variables, x, ForwardMode(branch, train=True), mutable=["batch_stats"])
        for name, array in expected["batch_stats"].items():
            np.testing.assert_allclose(actual["batch_stats"][name], array, rtol=1e-6)


@pytest.mark.parametrize("train", [True, False])
def test_padding_rows_are_not_seen_and_leave_as_zeros(train):
    norm, variables, x = setup()
    rows = np.array([True, True, False, True, False, True])
    y, updated = norm.apply(variables, x, ForwardMode(DENSE, train, rows), mutable=["batch_stats"])
    alone, expected = norm.apply(variables, x[rows], ForwardMode(DENSE, train), mutable=["batch_stats"])
    np.testing.assert_allclose(y[rows], alone, atol=1e-5)
    assert not np.any(y[~rows])
    for name, array in expected["batch_stats"].items():
        np.testing.assert_allclose(updated["batch_stats"][name], array, rtol=1e-5)

    def output(x):
        weights = jnp.arange(x.size).reshape(x.shape)
        return (norm.apply(variables, x, ForwardMode(DENSE, train, rows), mutable=["batch_stats"])[0] * weights).sum()

    cotangent = jax.grad(output)(x)
    assert not np.any(cotangent[~rows])
    assert np.any(cotangent[rows])


def test_moments_of_uneven_devices_are_those_of_the_whole_batch():
    x = np.random.default_rng(2).standard_normal((4, 3, 5)).astype(np.float32)
    rows = np.array([[True, True, True], [True, False, True], [False, False, False], [False, True, False]])
    mean, variance, count = jax.pmap(lambda x, rows: batch_moments(x, rows, "d"), axis_name="d")(x, rows)
    real = x[rows]
    np.testing.assert_array_equal(count, 6)
    np.testing.assert_allclose(mean, np.tile(real.mean(0), (4, 1)), atol=1e-6)
    np.testing.assert_allclose(variance, np.tile(real.var(0), (4, 1)), atol=1e-6)
