"""Which images pruning makes the network forget most: Figure 2 of the paper, from a pre-training run's two branches."""

from collections.abc import Callable

import jax
import numpy as np

from sdclr_jax.learn.losses import l2_normalize
from sdclr_jax.learn.masks import Tree, apply_masks
from sdclr_jax.model.contrastive import ContrastiveNet
from sdclr_jax.model.norm import DENSE, PRUNED
from sdclr_jax.probe.balancedness import Groups
from sdclr_jax.views.views import to_float

SHARES = {
    "forgotten": 0.1,
    "forgotten_hundredth": 0.01,
}  # name in metrics.jsonl -> part of the images; 0.01 is Figure 2


def make_forgetting(model: ContrastiveNet) -> Callable[[Tree, Tree, Tree, jax.Array], jax.Array]:
    """score(params, batch_stats, masks, images uint8 [N, H, W, 3]) -> float32 [N].

    A score is 1 - cosine between the projections of the unaugmented image by the dense and by the pruned branch, both
    in evaluation mode.
    """

    def score(params: Tree, batch_stats: Tree, masks: Tree, images: jax.Array) -> jax.Array:
        branches = ((DENSE, params), (PRUNED, apply_masks(params, masks)))
        dense, pruned = (
            l2_normalize(
                model.apply({"params": weights, "batch_stats": batch_stats}, to_float(images), branch).projections
            )
            for branch, weights in branches
        )
        return 1 - (dense * pruned).sum(-1)

    return score


def most_forgotten(scores: np.ndarray, fraction: float) -> np.ndarray:
    """Indices of the ceil(fraction N) images with the highest `scores` [N]; ties go to the earliest."""
    count = int(np.ceil(fraction * len(scores)))
    return np.argsort(-scores, kind="stable")[:count]


def group_shares(labels: np.ndarray, groups: Groups) -> dict[str, float]:
    """Share of images whose class is in each group, by the group's name.

    Args:
        labels: int [N], N >= 1.
        groups: of the classes.
    """
    return {name: float(np.isin(labels, classes).mean()) for name, classes in groups._asdict().items()}
