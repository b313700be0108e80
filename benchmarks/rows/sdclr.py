"""The training step of SDCLR against the original's scheme in torch."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.harness.pairs import BenchmarkError
from benchmarks.harness.rows import Arrays, TimeRow, both
from benchmarks.harness.tables import exchange
from benchmarks.harness.worker import Case
from sdclr_jax.learn.masks import magnitude_masks
from sdclr_jax.learn.optim import sgd
from sdclr_jax.learn.step import create_state, make_train_step
from sdclr_jax.model.contrastive import ContrastiveNet
from sdclr_jax.model.torch_names import named_arrays, to_state_dict

LIBRARIES = ("jax", "flax", "optax", "numpy")
PAIRS = 64
PRUNED = 0.9
RATE, TEMPERATURE = 0.05, 0.2
COMPARED = ("conv1.weight", "layer2.0.downsample.conv.weight", "layer4.1.conv2.weight", "fc.fc3.weight")

MOST = 0.02
"""Bound of the difference relative to the norm; gradients in float32 are up to 0.01 from those in float64."""


def check(ours: Arrays, theirs: Arrays) -> dict:
    """The loss and how far the weights moved agree in norm (single entries differ where a ReLU flips)."""
    errors = {name: float(np.linalg.norm(ours[name] - ref) / np.linalg.norm(ref)) for name, ref in theirs.items()}
    if not max(errors.values()) <= MOST:
        raise BenchmarkError(f"SDCLR training step: relative differences {errors}, allowed {MOST}")
    return {"relative_differences": errors}


ROWS = (
    TimeRow(
        "SDCLR training step, ResNet-18, 64 pairs",
        "torch, the original's 3 forwards and 2 backwards",
        *both("sdclr", "training_step"),
        required=1.0,
        aim=1.3,
        quoted=3.40,
        check=check,
        rounds=4,
    ),
)


def training_step(data: str) -> Case:
    """Both branches, one joint gradient, SGD; the masks are made beforehand.

    The outputs belong to the first step: its loss, and how it moved some of the weights.
    """
    model = ContrastiveNet("resnet18")
    tx = sgd(RATE, momentum=0.9, weight_decay=1e-4)
    state = create_state(model, tx, jax.random.key(0), (32, 32, 3), pruned=True)
    state = state.replace(masks=jax.jit(lambda params: magnitude_masks(params, PRUNED))(state.params))
    views = np.random.default_rng(0).random((2, PAIRS, 32, 32, 3), np.float32)
    before = to_state_dict({"params": state.params, "batch_stats": state.batch_stats})
    masks = {f"mask.{name}": mask for name, mask in named_arrays(state.masks).items()}
    exchange("sdclr", views=views.transpose(0, 1, 4, 2, 3), **before, **masks)
    step = jax.jit(make_train_step(model, tx, pruned=True), donate_argnums=0)
    held, images = [state], jnp.asarray(views)

    def call():
        held[0], metrics = step(held[0], images, None, TEMPERATURE)
        jax.block_until_ready(held[0])
        return metrics

    def outputs(metrics):
        after = named_arrays(held[0].params)
        return {"loss": np.asarray(metrics["loss"])} | {name: after[name] - before[name] for name in COMPARED}

    return Case(call, outputs, {"pairs": PAIRS})
