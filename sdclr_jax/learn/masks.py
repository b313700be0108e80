"""Masks of the pruned branch: `trainlib.analysis.pruning` for all convolutions of the backbone.

The head, BatchNorm and biases are not prunable.
"""

import jax

from trainlib.analysis import pruning
from trainlib.analysis.pruning import (
    LayerSparsity,
    Path,
    Tree,
    apply_masks,
    kth_smallest_magnitude,
    num_pruned,
    random_probability,
    sparsity_report,
)

__all__ = [
    "LayerSparsity",
    "Path",
    "Tree",
    "apply_masks",
    "full_masks",
    "is_backbone_conv",
    "kth_smallest_magnitude",
    "magnitude_masks",
    "magnitude_threshold",
    "num_pruned",
    "prunable_leaves",
    "random_masks",
    "random_probability",
    "sparsity_report",
]


def is_backbone_conv(path: Path) -> bool:
    """Whether a path of the parameter tree is a convolution kernel of the backbone."""
    return path[0] == "backbone" and path[-1] == "kernel"


def prunable_leaves(params: Tree) -> dict[Path, jax.Array]:
    """The backbone's convolution kernels [H, W, C_in, C_out] by path; see `pruning.prunable_leaves`."""
    return pruning.prunable_leaves(params, is_backbone_conv)


def magnitude_threshold(params: Tree, fraction: float) -> jax.Array:
    """The global threshold []; see `pruning.magnitude_threshold`."""
    return pruning.magnitude_threshold(params, fraction, is_backbone_conv)


def magnitude_masks(params: Tree, fraction: float) -> Tree:
    """Masks that keep |w| >= one global threshold over all convolutions; see `pruning.magnitude_masks`."""
    return pruning.magnitude_masks(params, fraction, is_backbone_conv)


def random_masks(rng: jax.Array, params: Tree, fraction: float, random_fraction: float) -> Tree:
    """Masks of which a part is random, from the jax key `rng` []; see `pruning.random_masks`."""
    return pruning.random_masks(rng, params, fraction, random_fraction, is_backbone_conv)


def full_masks(params: Tree) -> Tree:
    """Masks that keep every convolution's weights; see `pruning.full_masks`."""
    return pruning.full_masks(params, is_backbone_conv)
