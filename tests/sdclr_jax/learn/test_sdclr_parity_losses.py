"""NT-Xent against the original in both published forms: losses and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdclr_jax.learn.losses import nt_xent, nt_xent_interleaved
from tests.parity_tools import assert_close_in_norm, assert_close_to_largest

pytestmark = pytest.mark.parity

CASES = range(8)
interleaved = jax.jit(jax.value_and_grad(nt_xent_interleaved))
two_branch = jax.jit(jax.value_and_grad(nt_xent, argnums=(0, 1)))


@pytest.fixture(scope="module")
def stored(open_fixture):
    return open_fixture("sdclr/nt_xent.npz")


def double(stored, key):
    return jnp.asarray(stored[key].astype(np.float64))


@pytest.mark.parametrize("case", CASES)
def test_interleaved_form(stored, case):
    n, size, temperature = stored["cases"][case]
    with jax.enable_x64(True):
        x = double(stored, f"{case}_simclr_x")
        assert x.shape == (2 * n, size)
        loss, grad = interleaved(x, float(temperature))
    assert_close_in_norm(loss, stored[f"{case}_simclr_loss64"], 1e-9)
    assert_close_to_largest(grad, stored.float32(f"{case}_simclr_grad"))
    loss, _ = interleaved(jnp.asarray(stored[f"{case}_simclr_x"]), float(temperature))
    assert loss.dtype == jnp.float32
    theirs = stored.float32(f"{case}_simclr_loss", twin=f"{case}_simclr_loss64")
    assert_close_in_norm(loss, theirs, 1e-5)


@pytest.mark.parametrize("case", CASES)
def test_two_branch_form(stored, case):
    temperature = float(stored["cases"][case][2])
    with jax.enable_x64(True):
        loss, grads = two_branch(double(stored, f"{case}_two_f1"), double(stored, f"{case}_two_f2"), temperature)
    assert_close_to_largest(loss, stored.float32(f"{case}_two_loss"))
    for grad, key in zip(grads, ("g1", "g2")):
        assert_close_to_largest(grad, stored.float32(f"{case}_two_{key}"))


def test_zero_row(stored):
    with jax.enable_x64(True):
        features = double(stored, "zero_f1"), double(stored, "zero_f2")
        assert any((np.abs(np.asarray(f)).sum(1) == 0).any() for f in features)
        loss, _ = two_branch(*features, 0.5)
    assert_close_to_largest(loss, stored.float32("zero_loss"))


def test_every_array_was_compared(stored):
    assert not stored.unread
