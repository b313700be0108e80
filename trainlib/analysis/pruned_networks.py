"""The pruned networks of a sweep, and what they predict."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from trainlib.analysis.pruning import Prunable, Tree, apply_masks, magnitude_masks, random_masks
from trainlib.analysis.pruning_sweep import PruningSweep

_log = logging.getLogger(__name__)


def pruned_params(
    sweep: PruningSweep, params: Tree, sparsity: float, rng: jax.Array, prunable: Prunable
) -> Iterator[Tree]:
    """`params` (float [...]) masked by magnitude, then by `masks` - 1 partly random masks from the key `rng` []."""
    yield apply_masks(params, magnitude_masks(params, sparsity, prunable))
    for k in range(1, sweep.masks):
        key, part = jax.random.fold_in(rng, k), sweep.random_share * sparsity
        yield apply_masks(params, random_masks(key, params, sparsity, part, prunable))


def predictions(
    sweep: PruningSweep, networks: Sequence[tuple[Tree, int, Callable[[Tree], Any]]], prunable: Prunable
) -> Iterator[tuple[float, list[Any]]]:
    """Each sparsity with the predictions of its pruned networks.

    Args:
        sweep: the sparsities and masks.
        networks: of each dense network its parameters (float [...]), the seed of its masks, and a function that
            predicts with pruned parameters.
        prunable: which paths of the parameters take part.
    """
    for sparsity in sweep.sparsities:
        found = []
        for params, seed, predict in networks:
            found += map(predict, pruned_params(sweep, params, sparsity, jax.random.key(seed), prunable))
        _log.info("%g pruned: %d networks", sparsity, len(found))
        yield sparsity, found
