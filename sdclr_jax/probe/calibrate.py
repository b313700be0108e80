"""BatchNorm's statistics of a network whose weights have changed, as pruning changes them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from sdclr_jax.model.contrastive import ContrastiveNet
from sdclr_jax.model.norm import DENSE, BranchNorm
from sdclr_jax.views.views import to_float

BATCH = 128


def make_calibration(model: ContrastiveNet, images: np.ndarray) -> Callable[[Any, Any], Any]:
    """calibrated(params, batch_stats) -> `batch_stats` with the dense branch's statistics estimated again.

    They are the means over batches of up to 128 of the batch's own mean and unbiased variance, as training measures
    them; an incomplete last batch is skipped.

    Args:
        model: the network, without an axis name.
        images: uint8 [N, H, W, 3], N >= 2; unaugmented.
    """
    size = min(BATCH, len(images))

    @jax.jit
    def measure(params: Any, batch_stats: Any, batch: jax.Array) -> Any:
        variables = {"params": params, "batch_stats": jax.tree.map(jnp.zeros_like, batch_stats)}
        updated = model.apply(variables, to_float(batch), DENSE, True, mutable=["batch_stats"])[1]
        return jax.tree.map(lambda moved: moved / BranchNorm.momentum, updated["batch_stats"])

    def calibrated(params: Any, batch_stats: Any) -> Any:
        starts = range(0, len(images) - size + 1, size)
        measured = [measure(params, batch_stats, images[start : start + size]) for start in starts]
        mean = traverse_util.flatten_dict(jax.tree.map(lambda *parts: np.mean(parts, axis=0), *measured))
        dense = {path: leaf for path, leaf in mean.items() if path[-1].endswith(f"_{DENSE}")}
        return traverse_util.unflatten_dict(traverse_util.flatten_dict(batch_stats) | dense)

    return calibrated
