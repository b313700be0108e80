"""NT-Xent against a double loop; padding, devices, extremes; the temperature's schedule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdclr_jax.learn.losses import l2_normalize, nt_xent, nt_xent_interleaved, temperature_schedule

value_and_grad = jax.jit(jax.value_and_grad(lambda z, temperature, rows=None: nt_xent(*z, temperature, rows)))


def features(n=5, size=8, seed=0):
    return np.random.default_rng(seed).standard_normal((2, n, size))


def brute_force(first, second, temperature):
    z = np.concatenate([first, second])
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    n = len(first)
    losses = []
    for i in range(2 * n):
        scores = np.array([np.exp(z[i] @ z[k] / temperature) for k in range(2 * n)])
        losses.append(-np.log(scores[(i + n) % (2 * n)] / (scores.sum() - scores[i])))
    return np.mean(losses)


@pytest.mark.parametrize("temperature", [0.1, 0.2, 1.0])
def test_both_forms_are_the_double_loop(temperature):
    first, second = features()
    interleaved = np.stack([first, second], 1).reshape(10, 8)
    expected = brute_force(first, second, temperature)
    with jax.enable_x64(True):
        np.testing.assert_allclose(nt_xent(first, second, temperature), expected, rtol=1e-12)
        np.testing.assert_allclose(nt_xent_interleaved(interleaved, temperature), expected, rtol=1e-12)


def test_padding_counts_neither_as_row_nor_as_column():
    first, second = features()
    padded = np.concatenate([features(), 9 * np.ones((2, 3, 8))], 1)
    rows = np.arange(8) < 5
    with jax.enable_x64(True):
        expected, expected_grad = value_and_grad(np.stack([first, second]), 0.2)
        for junk in (9.0, 0.0):
            padded[:, 5:] = junk
            loss, grad = value_and_grad(padded, 0.2, rows)
            np.testing.assert_allclose(loss, expected, rtol=1e-12)
            np.testing.assert_allclose(grad[:, :5], expected_grad, atol=1e-14)
            assert not np.any(grad[:, 5:])


def test_shares_of_four_devices_sum_to_the_loss_and_its_gradient():
    z = features(n=8)
    rows = np.array([True] * 5 + [False] * 3)
    with jax.enable_x64(True):
        expected, expected_grad = value_and_grad(z, 0.2, rows)
        share = jax.value_and_grad(lambda z, rows: nt_xent(*z, 0.2, rows, "d"))
        parts = z.reshape(2, 4, 2, 8).transpose(1, 0, 2, 3)
        losses, grads = jax.pmap(share, axis_name="d")(parts, rows.reshape(4, 2))
        np.testing.assert_allclose(losses.sum(), expected, rtol=1e-12)
        np.testing.assert_allclose(grads.transpose(1, 0, 2, 3).reshape(2, 8, 8), expected_grad, atol=1e-14)
        assert losses[3] == 0


def test_extreme_temperature_does_not_overflow():
    """exp(1 / t) alone would be infinite in float32."""
    z = features().astype(np.float32)
    loss, grad = value_and_grad(z, 0.005)
    with jax.enable_x64(True):
        exact, _ = value_and_grad(z.astype(np.float64), 0.005)
    np.testing.assert_allclose(loss, exact, rtol=1e-5)
    assert np.all(np.isfinite(grad))


def test_one_pair_has_no_loss_and_zero_rows_stay_finite():
    loss, grad = value_and_grad(features(n=1).astype(np.float32), 0.2)
    assert loss == 0
    assert not np.any(grad)
    loss, grad = value_and_grad(np.zeros((2, 4, 8), np.float32), 0.2)
    np.testing.assert_allclose(loss, np.log(7), rtol=1e-6)
    assert np.all(np.isfinite(grad))
    assert not np.any(l2_normalize(jnp.zeros((2, 3))))


def test_shapes_are_checked():
    with pytest.raises(AssertionError):
        nt_xent(np.zeros((3, 4)), np.zeros((2, 4)), 0.2)
    with pytest.raises(ValueError, match="3 rows"):
        nt_xent_interleaved(np.zeros((3, 4)), 0.2)


def test_temperature_schedule_by_hand():
    np.testing.assert_allclose(
        [temperature_schedule(epoch) for epoch in (0, 50, 100, 150, 200)], [1.0, 0.55, 0.1, 0.55, 1.0], rtol=1e-5
    )
