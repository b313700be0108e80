"""Which images pruning makes the network forget most: Figure 2 of the paper, from a pre-training run's two branches."""

from collections.abc import Callable

import jax
import numpy as np
from ml_collections import ConfigDict

from sdclr_jax.data.batches import map_rows
from sdclr_jax.data.dataset import Dataset
from sdclr_jax.data.image_files import as_pixels
from sdclr_jax.learn.build import build_model
from sdclr_jax.learn.losses import l2_normalize
from sdclr_jax.learn.masks import Tree, apply_masks
from sdclr_jax.learn.step import TrainState
from sdclr_jax.model.contrastive import ContrastiveNet
from sdclr_jax.model.norm import DENSE, PRUNED
from sdclr_jax.probe.balancedness import Groups, group_classes
from sdclr_jax.views.views import to_float
from trainlib.run import parallel
from trainlib.run.loop import Measurement

# Name in metrics.jsonl -> part of the images; 0.01 is Figure 2.
SHARES = {"forgotten": 0.1, "forgotten_hundredth": 0.01}


def make_forgetting(model: ContrastiveNet) -> Callable[[Tree, Tree, Tree, jax.Array], jax.Array]:
    """score(params, batch_stats, masks, images uint8 [N, H, W, 3]) -> float32 [N].

    A score is 1 - cosine between the projections of the unaugmented image by the dense and by the pruned branch, both
    in evaluation mode.
    """

    def score(params: Tree, batch_stats: Tree, masks: Tree, images: jax.Array) -> jax.Array:
        def project(weights: Tree, branch: int) -> jax.Array:
            variables = {"params": weights, "batch_stats": batch_stats}
            return l2_normalize(model.apply(variables, to_float(images), branch).projections)

        dense, pruned = project(params, DENSE), project(apply_masks(params, masks), PRUNED)
        return 1 - (dense * pruned).sum(-1)

    return score


def most_forgotten(scores: np.ndarray, fraction: float) -> np.ndarray:
    """Indices of the ceil(fraction N) images with the highest `scores` [N]; ties go to the earliest."""
    return np.argsort(-scores, kind="stable")[: int(np.ceil(fraction * len(scores)))]


def group_shares(labels: np.ndarray, groups: Groups) -> dict[str, float]:
    """Share of images of the classes `labels` int [N] (N >= 1) in each group, by the group's name."""
    return {name: float(np.isin(labels, classes).mean()) for name, classes in groups._asdict().items()}


def forgetting(config: ConfigDict, dataset: Dataset, per_epoch: int) -> Measurement | None:
    """The share of each group among the training images that the pruned branch forgets most.

    It gives `forgotten/GROUP` of the tenth, `forgotten_hundredth/GROUP`, and the group's share among all,
    `present/GROUP`, of the images that have a class. None where the classes make no groups.
    """
    groups = group_classes(config.groups, dataset.class_counts)
    if not any(map(len, groups)):
        return None
    score = parallel.pmap_step(make_forgetting(build_model(config)), in_axes=(None, None, None, 0), out_axes=0)
    rows = dataset.pretrain[dataset.labels[dataset.pretrain] >= 0]
    labels, images = dataset.labels[rows], as_pixels(dataset.images[rows])
    present = {f"present/{name}": share for name, share in group_shares(labels, groups).items()}

    def measure(state: TrainState) -> dict[str, float]:
        constants = (state.params, state.batch_stats, state.masks)
        scores = map_rows(score, constants, (images,), config.batch_size)
        figures = {"epoch": int(state.step) / per_epoch}
        for name, part in SHARES.items():
            shares = group_shares(labels[most_forgotten(scores, part)], groups)
            figures |= {f"{name}/{group}": share for group, share in shares.items()}
        return figures | present

    every = config.forgetting_every_epochs * per_epoch
    return Measurement("the measurement", measure, every, "forgotten/many", shown="forgotten/", digits=3)
