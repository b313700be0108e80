"""Magnitude pruning by masks over one shared parameter tree; weights are never zeroed in storage.

Masks are a dict of the same nesting as the parameters that holds bool arrays for the prunable leaves alone. Which
these are is the argument `prunable`, a function of a leaf's path such as ("backbone", "conv1", "kernel").
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import lax

Tree = Mapping[str, Any]
Path = tuple[str, ...]
Prunable = Callable[[Path], bool]


def prunable_leaves(params: Tree, prunable: Prunable) -> dict[Path, jax.Array]:
    """The prunable arrays [...] of a tree by path. Raises ValueError for none, or more weights than int32 can count."""
    leaves = {path: leaf for path, leaf in flatten_dict(params).items() if prunable(path)}
    total = sum(leaf.size for leaf in leaves.values())
    if not 0 < total < 2**31:
        raise ValueError(f"{total} prunable weights in {len(leaves)} arrays; need between 1 and {2**31 - 1}")
    return leaves


def num_pruned(fraction: float, total: int) -> int:
    """k = ceil(fraction * total) in double precision, as the original computes it under NumPy 1."""
    if not 0 <= fraction <= 1:
        raise ValueError(f"the pruned fraction is {fraction}; need 0 <= fraction <= 1")
    return math.ceil(fraction * total)


def kth_smallest_magnitude(leaves: list[jax.Array], k: int) -> jax.Array:
    """The element of rank k (0-based) of |w| over all arrays together, exactly, without a sort.

    Non-negative floats are ordered as their bit patterns, so the threshold is built bit by bit from the top: a bit
    stays set as long as at most k magnitudes are smaller. One counting pass per bit.

    Args:
        leaves: float [...] arrays of one dtype, any shapes.
        k: rank, 0 <= k < number of elements.

    Returns:
        [] of the arrays' dtype.
    """
    dtype = jnp.result_type(*leaves)
    width = jnp.finfo(dtype).bits
    unsigned = jnp.dtype(f"uint{width}")
    magnitudes = jnp.concatenate([jnp.abs(leaf).astype(dtype).ravel() for leaf in leaves])
    patterns = lax.bitcast_convert_type(magnitudes, unsigned)

    def add_bit(i: jax.Array, threshold: jax.Array) -> jax.Array:
        candidate = threshold | (unsigned.type(1) << (width - 2 - i).astype(unsigned))
        return jnp.where((patterns < candidate).sum(dtype=jnp.int32) <= k, candidate, threshold)

    pattern = lax.fori_loop(jnp.int32(0), jnp.int32(width - 1), add_bit, jnp.zeros((), unsigned))
    return lax.bitcast_convert_type(pattern, dtype)


def magnitude_threshold(params: Tree, fraction: float, prunable: Prunable) -> jax.Array:
    """The global threshold: with N prunable weights, sorted(|w|)[min(ceil(fraction N), N - 1)]."""
    leaves = list(prunable_leaves(params, prunable).values())
    total = sum(leaf.size for leaf in leaves)
    return kth_smallest_magnitude(leaves, min(num_pruned(fraction, total), total - 1))


def magnitude_masks(params: Tree, fraction: float, prunable: Prunable) -> Tree:
    """Masks that keep |w| >= one global threshold over all prunable weights (`prune/mask.Mask` of the original).

    Without ties exactly ceil(fraction * N) weights are pruned; ties at the threshold are all kept; fraction 1 keeps
    the largest weight.

    Args:
        params: nested dict of float arrays.
        fraction: share of the prunable weights to prune, a Python float in [0, 1].
        prunable: which paths take part.

    Returns:
        Nested dict of bool arrays, true where the weight is kept.
    """
    threshold = magnitude_threshold(params, fraction, prunable)
    leaves = prunable_leaves(params, prunable)
    return unflatten_dict({path: jnp.abs(leaf) >= threshold for path, leaf in leaves.items()})


def random_probability(total: int, fraction: float, random_fraction: float) -> float:
    """Probability with which each weight is dropped at random so that `fraction` are pruned in expectation."""
    if not 0 <= random_fraction <= fraction:
        raise ValueError(f"random fraction {random_fraction} is outside 0 .. {fraction}, the whole pruned fraction")
    left = total - num_pruned(fraction - random_fraction, total)
    return min(num_pruned(random_fraction, total) / max(left, 1), 1.0)


def random_masks(rng: jax.Array, params: Tree, fraction: float, random_fraction: float, prunable: Prunable) -> Tree:
    """Masks of which a part is random (the original's ablation).

    After magnitude pruning of `fraction - random_fraction` every weight, pruned or not, is dropped with the probability
    that makes the expected sparsity `fraction`.

    Args:
        rng: jax key []; give every device the same one.
        params: nested dict of float [...] arrays.
        fraction: expected pruned share, magnitude and random together.
        random_fraction: the random part of it, at most `fraction`.
        prunable: which paths take part.
    """
    total = sum(leaf.size for leaf in prunable_leaves(params, prunable).values())
    probability = random_probability(total, fraction, random_fraction)
    masks = flatten_dict(magnitude_masks(params, fraction - random_fraction, prunable))
    keys = dict(zip(masks, jax.random.split(rng, len(masks))))
    kept = {path: mask & ~jax.random.bernoulli(keys[path], probability, mask.shape) for path, mask in masks.items()}
    return unflatten_dict(kept)


def full_masks(params: Tree, prunable: Prunable) -> Tree:
    """Masks that keep every prunable weight, structured as in `magnitude_masks`."""
    leaves = prunable_leaves(params, prunable)
    return unflatten_dict({path: jnp.ones(leaf.shape, bool) for path, leaf in leaves.items()})


def apply_masks(params: Tree, masks: Tree) -> Tree:
    """The pruned branch's parameters: a weight whose mask is false reads as zero and gets a zero gradient."""
    flat, flat_masks = flatten_dict(params), flatten_dict(masks)
    unknown = sorted("/".join(path) for path in flat_masks.keys() - flat.keys())
    if unknown:
        raise ValueError(f"masks without a parameter: {unknown}")
    return unflatten_dict(flat | {path: jnp.where(mask, flat[path], 0) for path, mask in flat_masks.items()})


class LayerSparsity(NamedTuple):
    """Kept and total weights of one layer; `path` is its path in the parameter tree, joined by '/'."""

    path: str
    kept: int
    total: int

    @property
    def sparsity(self) -> float:
        """Share of pruned weights."""
        return 1 - self.kept / self.total


def sparsity_report(masks: Tree) -> list[LayerSparsity]:
    """Kept and total weights per layer, in the tree's order, then of all layers together under the name "total"."""
    flat = flatten_dict(masks)
    layers = [LayerSparsity("/".join(path[:-1]), int(mask.sum()), mask.size) for path, mask in flat.items()]
    kept, total = sum(layer.kept for layer in layers), sum(layer.total for layer in layers)
    return [*layers, LayerSparsity("total", kept, total)]
