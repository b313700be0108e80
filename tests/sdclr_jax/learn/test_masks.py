"""Magnitude masks against a sort; what is prunable; applying masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdclr_jax.learn.masks import (
    apply_masks,
    full_masks,
    is_backbone_conv,
    magnitude_masks,
    random_masks,
    sparsity_report,
)
from sdclr_jax.model.contrastive import ContrastiveNet
from trainlib.analysis.pruning import kth_smallest_magnitude, num_pruned, prunable_leaves


def tree(seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return {
        "backbone": {
            "conv1": {"kernel": rng.standard_normal((3, 3, 2, 4)).astype(dtype)},
            "bn1": {"scale_0": np.ones(4, dtype)},
            "layer1_0": {"conv1": {"kernel": 0.1 * rng.standard_normal((3, 3, 4, 4)).astype(dtype)}},
        },
        "head": {"fc1": {"kernel": rng.standard_normal((4, 4)).astype(dtype), "bias": np.zeros(4, dtype)}},
    }


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_kth_smallest_is_that_of_a_sort(dtype):
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.standard_normal(300) * 10.0 ** rng.integers(-4, 4, 300), [0.0, -0.0, 1.5, -1.5, 1.5]])
    values = values.astype(dtype)
    ranked = np.sort(np.abs(values))
    with jax.enable_x64(dtype == "float64"):
        find = jax.jit(lambda k: kth_smallest_magnitude([jnp.asarray(values[:100]), jnp.asarray(values[100:])], k))
        for k in (0, 1, 2, 150, 303, 304):
            assert find(k) == ranked[k]


@pytest.mark.parametrize("fraction", [0.0, 0.31, 0.9, 1.0])
def test_masks_keep_the_largest_weights_of_the_backbone(fraction):
    params = tree()
    masks = magnitude_masks(params, fraction)
    assert set(masks) == {"backbone"}
    assert set(masks["backbone"]) == {"conv1", "layer1_0"}
    weights = np.concatenate([np.abs(leaf).ravel() for leaf in prunable_leaves(params, is_backbone_conv).values()])
    kept = np.concatenate([np.asarray(mask).ravel() for mask in jax.tree.leaves(masks)])
    pruned = min(num_pruned(fraction, weights.size), weights.size - 1)
    assert (~kept).sum() == pruned
    assert pruned == 0 or weights[~kept].max() < weights[kept].min()


def test_ties_at_the_threshold_are_all_kept():
    params = {"backbone": {"conv1": {"kernel": np.array([1, -1, 2, -2, 2, 3], np.float32).reshape(1, 1, 2, 3)}}}
    mask = magnitude_masks(params, 0.5)["backbone"]["conv1"]["kernel"]
    np.testing.assert_array_equal(mask.ravel(), [False, False, True, True, True, True])


def test_pruned_counts_round_up_in_double_precision():
    assert [num_pruned(f, 10) for f in (0.0, 0.01, 0.1, 0.11, 1.0)] == [0, 1, 1, 2, 10]
    assert num_pruned(0.9, 23_454_912) == 21_109_421  # float32 arithmetic gives another number here
    with pytest.raises(ValueError, match=r"1\.5"):
        num_pruned(1.5, 10)


def test_no_prunable_weight_is_an_error():
    with pytest.raises(ValueError, match="0 prunable weights"):
        magnitude_masks({"head": {"fc1": {"kernel": np.ones((2, 2))}}}, 0.5)


def test_apply_masks_zeroes_dropped_weights_and_their_gradients_alone():
    params = jax.tree.map(jnp.asarray, tree())
    masks = magnitude_masks(params, 0.5)
    pruned = apply_masks(params, masks)
    kernel, mask = params["backbone"]["conv1"]["kernel"], masks["backbone"]["conv1"]["kernel"]
    np.testing.assert_array_equal(pruned["backbone"]["conv1"]["kernel"], np.where(mask, kernel, 0))
    np.testing.assert_array_equal(pruned["head"]["fc1"]["kernel"], params["head"]["fc1"]["kernel"])
    assert jax.tree.structure(pruned) == jax.tree.structure(params)
    grads = jax.grad(lambda p: sum(leaf.sum() for leaf in jax.tree.leaves(apply_masks(p, masks))))(params)
    np.testing.assert_array_equal(grads["backbone"]["conv1"]["kernel"], mask.astype(np.float32))
    with pytest.raises(ValueError, match="head/fc9/kernel"):
        apply_masks(params, {"head": {"fc9": {"kernel": mask}}})


def test_random_masks_drop_in_addition_and_follow_the_key():
    rng = np.random.default_rng(0)
    params = {"backbone": {"conv1": {"kernel": rng.standard_normal((5, 5, 20, 40)).astype(np.float32)}}}
    magnitude = magnitude_masks(params, 0.5)["backbone"]["conv1"]["kernel"]
    masks = [random_masks(jax.random.key(seed), params, 0.8, 0.3) for seed in (1, 1, 2)]
    one, again, other = (mask["backbone"]["conv1"]["kernel"] for mask in masks)
    assert not np.any(one & ~magnitude)
    assert 1 - one.mean() == pytest.approx(0.8, abs=0.01)
    np.testing.assert_array_equal(one, again)
    assert np.any(one != other)
    with pytest.raises(ValueError, match="random fraction"):
        random_masks(jax.random.key(0), params, 0.2, 0.3)


def test_report_counts_layers_and_total():
    masks = {"backbone": {"a": {"kernel": jnp.array([True, False])}, "b": {"kernel": jnp.array([True, True, False])}}}
    report = sparsity_report(masks)
    assert [tuple(row) for row in report] == [("backbone/a", 1, 2), ("backbone/b", 2, 3), ("total", 3, 5)]
    assert report[-1].sparsity == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("name", "stem", "prunable", "total"),
    [
        ("resnet18", "cifar", 11_159_232, 11_773_376),
        ("resnet50", "imagenet", 23_454_912, 32_230_848),
        ("resnet32_s", "cifar", 461_232, 483_248),
    ],
)
def test_prunable_weights_of_the_networks(name, stem, prunable, total):
    """Counts of the original, with the three-layer head and two sets of BatchNorm."""
    shapes = jax.eval_shape(ContrastiveNet(name, stem).init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == total
    assert sum(leaf.size for leaf in prunable_leaves(shapes, is_backbone_conv).values()) == prunable
    masks = jax.eval_shape(full_masks, shapes)
    assert jax.tree.structure(masks) == jax.tree.structure(jax.eval_shape(lambda p: magnitude_masks(p, 0.9), shapes))
