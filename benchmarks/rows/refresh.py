"""New masks of SDCLR, made once an epoch, against one training step."""

import jax
import numpy as np

from benchmarks.harness.pairs import Side
from benchmarks.harness.rows import Arrays, TimeRow
from benchmarks.harness.worker import Case
from benchmarks.rows.sdclr import PAIRS, PRUNED
from sdclr_jax.learn.optim import sgd
from sdclr_jax.learn.step import create_state, make_refresh
from sdclr_jax.model.contrastive import ContrastiveNet

LIBRARIES = ("jax", "flax", "optax", "numpy")


def check(ours: Arrays, theirs: Arrays) -> dict:
    """Nothing to compare: the two sides do different work."""
    return {"sparsity": float(ours["sparsity"]), "loss": float(theirs["loss"])}


ROWS = (
    TimeRow(
        "SDCLR mask refresh, ResNet-18",
        f"the project's own training step of {PAIRS} pairs",
        Side("benchmarks.rows.refresh", "mask_refresh"),
        Side("benchmarks.rows.sdclr", "training_step"),
        required=1.0,
        aim=2.0,
        check=check,
        rounds=4,
    ),
)


def mask_refresh(data: str) -> Case:
    """One global threshold over all convolutions, the masks, and their figures layer by layer."""
    state = create_state(ContrastiveNet("resnet18"), sgd(0.1), jax.random.key(0), (32, 32, 3), pruned=True)
    refresh, rng = jax.jit(make_refresh(PRUNED, 0.0, 1)), jax.random.key_data(jax.random.key(1))
    return Case(
        lambda: jax.block_until_ready(refresh(state, rng)),
        lambda result: {"sparsity": np.asarray(result[1]["sparsity"])},
    )
