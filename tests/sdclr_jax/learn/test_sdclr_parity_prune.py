"""Masks of the original on stored tensors: threshold, k and every bit, with and without ties; the random option."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdclr_jax.learn.masks import (
    is_backbone_conv,
    magnitude_masks,
    random_masks,
    sparsity_report,
)
from trainlib.analysis.pruning import magnitude_threshold, num_pruned, random_probability

pytestmark = pytest.mark.parity

FRACTIONS = ("0.0", "0.3", "0.5", "0.9", "0.99", "0.999999", "1.0")


@pytest.fixture(scope="module")
def stored(open_fixture):
    return open_fixture("sdclr/prune.npz")


def parameters(stored, ties):
    weights = {str(name): stored[f"w_{name}"] for name in stored["names"]}
    if ties:
        weights = {name: (np.round(w * 20) / 20).astype(np.float32) for name, w in weights.items()}
    return {"backbone": {name: {"kernel": jnp.asarray(w)} for name, w in weights.items()}}


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("ties", [False, True])
def test_masks(stored, fraction, ties):
    prefix = "tie_" if ties else ""
    params = parameters(stored, ties)
    masks = magnitude_masks(params, float(fraction))
    total = sparsity_report(masks)[-1]
    assert total.total == stored[f"{prefix}N"]
    assert num_pruned(float(fraction), total.total) == stored[f"{prefix}{fraction}_k"]
    assert magnitude_threshold(params, float(fraction), is_backbone_conv) == stored[f"{prefix}{fraction}_threshold"]
    assert total.kept == stored[f"{prefix}{fraction}_kept"]
    assert total.sparsity == pytest.approx(float(stored[f"{prefix}{fraction}_sparsity"]), rel=3e-6)
    for name, layer in masks["backbone"].items():
        packed = np.packbits(np.asarray(layer["kernel"]).ravel())
        np.testing.assert_array_equal(packed, stored[f"{prefix}{fraction}_mask_{name}"])


def test_random_pruning(stored):
    params = parameters(stored, ties=False)
    total = int(stored["N"])
    probability = random_probability(total, 0.9, 0.3)
    assert probability == pytest.approx(float(stored["random_mag0.6_rand0.3_bernoulli_p"]), rel=1e-12)

    def sparsity(rng):
        masks = random_masks(rng, params, 0.9, 0.3)
        return 1 - sum(mask.sum() for mask in jax.tree.leaves(masks)) / total

    sparsities = np.asarray(jax.jit(jax.vmap(sparsity))(jax.random.split(jax.random.key(0), 200)), np.float64)
    mean, deviation = stored["random_mag0.6_rand0.3_sparsity_mean_std_200seeds"]
    assert abs(sparsities.mean() - mean) < 4 * deviation * (2 / 200) ** 0.5
    assert sparsities.std() == pytest.approx(deviation, rel=0.2)


def test_every_array_was_compared(stored):
    assert not stored.unread
