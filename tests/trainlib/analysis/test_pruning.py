"""Masks of any tree: which leaves take part is the caller's word. Their values: tests/sdclr_jax/learn/test_masks.py."""

import jax
import numpy as np
import pytest

from trainlib.analysis.pruning import apply_masks, full_masks, magnitude_masks, random_masks


def is_kernel(path):
    return path[-1] == "kernel"


def test_one_threshold_over_the_leaves_that_take_part():
    params = {"a": {"kernel": np.array([1.0, -4.0]), "bias": np.array([0.1])}, "b": {"kernel": np.array([2.0, 3.0])}}
    masks = magnitude_masks(params, 0.5, is_kernel)
    pruned = apply_masks(params, masks)
    np.testing.assert_array_equal(pruned["a"]["kernel"], [0, -4])
    np.testing.assert_array_equal(pruned["b"]["kernel"], [0, 3])
    np.testing.assert_array_equal(pruned["a"]["bias"], params["a"]["bias"])
    assert jax.tree.structure(masks) == jax.tree.structure(full_masks(params, is_kernel))
    only_a = magnitude_masks(params, 0.5, lambda path: path == ("a", "kernel"))
    assert set(only_a) == {"a"}
    drawn = random_masks(jax.random.key(0), params, 0.5, 0.0, is_kernel)
    for one, other in zip(jax.tree.leaves(drawn), jax.tree.leaves(masks), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="0 prunable weights"):
        magnitude_masks(params, 0.5, lambda path: False)
