"""Masks of the pruned branch: `trainlib.analysis.pruning` for all convolutions of the backbone.

The head, BatchNorm and biases are not prunable.
"""

import jax
from flax import traverse_util

from trainlib.analysis import pruning
from trainlib.analysis.pruning import Path, Tree
from trainlib.analysis.pruning import apply_masks as apply_masks
from trainlib.analysis.pruning import sparsity_report as sparsity_report


def is_backbone_conv(path: Path) -> bool:
    """Whether a path of the parameter tree is a convolution kernel of the backbone."""
    return path[0] == "backbone" and path[-1] == "kernel"


def magnitude_masks(params: Tree, fraction: float) -> Tree:
    """Masks that keep |w| >= one global threshold over all convolutions; see `pruning.magnitude_masks`."""
    return pruning.magnitude_masks(params, fraction, is_backbone_conv)


def random_masks(rng: jax.Array, params: Tree, fraction: float, random_fraction: float) -> Tree:
    """Masks of which a part is random, from the jax key `rng` []; see `pruning.random_masks`."""
    return pruning.random_masks(rng, params, fraction, random_fraction, is_backbone_conv)


def full_masks(params: Tree) -> Tree:
    """Masks that keep every convolution's weights; see `pruning.full_masks`."""
    return pruning.full_masks(params, is_backbone_conv)


def mask_metrics(old: Tree, new: Tree) -> dict[str, jax.Array]:
    """`sparsity`, the share that `new` prunes, `changed`, the share unlike `old`, and `sparsity/LAYER`, [] each."""
    before, after = traverse_util.flatten_dict(old), traverse_util.flatten_dict(new)
    total = sum(mask.size for mask in after.values())
    pruned = {path: (~mask).sum() for path, mask in after.items()}
    changed = sum((before[path] != mask).sum() for path, mask in after.items())
    layers = {f"sparsity/{'/'.join(path[:-1])}": count / after[path].size for path, count in pruned.items()}
    return {"sparsity": sum(pruned.values()) / total, "changed": changed / total} | layers
