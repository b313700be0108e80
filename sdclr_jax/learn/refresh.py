"""The masks of a new epoch, from the dense weights as they are at its start."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import traverse_util

from sdclr_jax.learn.masks import Tree, magnitude_masks, random_masks
from sdclr_jax.learn.step import TrainState


def mask_metrics(old: Tree, new: Tree) -> dict[str, jax.Array]:
    """`sparsity`, the share that `new` prunes, `changed`, the share unlike `old`, and `sparsity/LAYER`, [] each."""
    before, after = traverse_util.flatten_dict(old), traverse_util.flatten_dict(new)
    total = sum(mask.size for mask in after.values())
    pruned = {path: (~mask).sum() for path, mask in after.items()}
    changed = sum((before[path] != mask).sum() for path, mask in after.items())
    layers = {f"sparsity/{'/'.join(path[:-1])}": count / after[path].size for path, count in pruned.items()}
    return {"sparsity": sum(pruned.values()) / total, "changed": changed / total} | layers


def make_refresh(
    fraction: float, random_fraction: float, steps_per_epoch: int
) -> Callable[[TrainState, jax.Array], tuple[TrainState, dict[str, jax.Array]]]:
    """refresh(state, rng) -> state with new masks, and `mask_metrics`. Equal on all devices without communication.

    `rng` is the run's key of the random part, as `jax.random.key_data`, uint32 [2].

    Args:
        fraction: pruned share of the backbone's convolutions.
        random_fraction: the part of it that is drawn at random, again each epoch; 0 for none.
        steps_per_epoch: gives the epoch of `state.step`.
    """

    def refresh(state: TrainState, rng: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
        if random_fraction > 0:
            epoch_rng = jax.random.fold_in(jax.random.wrap_key_data(rng), state.step // steps_per_epoch)
            masks = random_masks(epoch_rng, state.params, fraction, random_fraction)
        else:
            masks = magnitude_masks(state.params, fraction)
        return state.replace(masks=masks), jax.tree.map(jnp.float32, mask_metrics(state.masks, masks))

    return refresh
