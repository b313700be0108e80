"""The training step: one joint gradient of one loss over both branches, two forwards and one backward.

It also draws the masks of a new epoch from the dense weights at its start.
"""

from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from jax import lax

from sdclr_jax.learn.losses import nt_xent
from sdclr_jax.learn.masks import Tree, apply_masks, full_masks, magnitude_masks, mask_metrics, random_masks
from sdclr_jax.model.contrastive import ContrastiveNet
from sdclr_jax.model.norm import DENSE, PRUNED


@flax.struct.dataclass
class TrainState:
    """What a run changes: `step` int32 [] counts updates; `masks` of the pruned branch are empty for SimCLR."""

    step: jax.Array
    params: Tree
    batch_stats: Tree
    opt_state: optax.OptState
    masks: Tree


def create_state(
    model: ContrastiveNet,
    tx: optax.GradientTransformation,
    rng: jax.Array,
    image_shape: tuple[int, int, int],
    pruned: bool,
) -> TrainState:
    """A fresh state, from the jax key `rng` []; for a pruned branch with masks that keep everything.

    `image_shape` is (H, W, 3) of the views. Initial values do not depend on `axis_name` of the model.
    """
    variables = jax.jit(model.clone(axis_name=None).init)(rng, jnp.zeros((1, *image_shape)))
    params, masks = variables["params"], full_masks(variables["params"]) if pruned else {}
    return TrainState(jnp.zeros((), jnp.int32), params, variables["batch_stats"], tx.init(params), masks)


def contrastive_loss(
    model: ContrastiveNet,
    params: Tree,
    pruned_params: Tree | None,
    batch_stats: Tree,
    views: jax.Array,
    *,
    rows: jax.Array | None,
    temperature: float | jax.Array,
) -> tuple[jax.Array, Tree]:
    """NT-Xent of view 1 through the dense branch against view 2 through the pruned one.

    Args:
        params, pruned_params: of the two branches; the second is `apply_masks` of the first. None for SimCLR: both
            views pass the dense branch in one forward, so that BatchNorm's statistics span them.
        views: float [2, N, H, W, 3], RGB in [0, 1].
        rows: bool [N], false for padding; None when all images are real.

    Returns:
        The loss (with `model.axis_name` this device's share, see `nt_xent`) and the new running statistics.
    """

    def project(weights: Tree, stats: Tree, images: jax.Array, branch: int, rows: jax.Array | None) -> tuple:
        variables = {"params": weights, "batch_stats": stats}
        embedding, updated = model.apply(variables, images, branch, True, rows, mutable=["batch_stats"])
        return embedding.projections, updated["batch_stats"]

    if pruned_params is None:
        images, both_rows = views.reshape(-1, *views.shape[2:]), None if rows is None else jnp.tile(rows, 2)
        projections, batch_stats = project(params, batch_stats, images, DENSE, both_rows)
        first, second = jnp.split(projections, 2)
    else:
        first, batch_stats = project(params, batch_stats, views[DENSE], DENSE, rows)
        second, batch_stats = project(pruned_params, batch_stats, views[PRUNED], PRUNED, rows)
    return nt_xent(first, second, temperature, rows, model.axis_name), batch_stats


def make_train_step(
    model: ContrastiveNet, tx: optax.GradientTransformation, pruned: bool
) -> Callable[..., tuple[TrainState, dict[str, Any]]]:
    """The step as a pure function, to be jitted, or pmapped over `model.axis_name`, with the optimiser `tx`.

    Returns:
        step(state, views [2, N, H, W, 3], rows bool [N] or None, temperature) -> (state, metrics): the scalars `loss`
        and `grad_norm`, equal on all devices. N is the device's share of the batch. With `pruned` the step is SDCLR's
        (dense against pruned branch), and without it SimCLR's.
    """

    def step(
        state: TrainState, views: jax.Array, rows: jax.Array | None, temperature: float | jax.Array
    ) -> tuple[TrainState, dict[str, Any]]:
        def loss_fn(params: Tree) -> tuple[jax.Array, Tree]:
            masked = apply_masks(params, state.masks) if pruned else None
            return contrastive_loss(model, params, masked, state.batch_stats, views, rows=rows, temperature=temperature)

        (loss, batch_stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        if model.axis_name is not None:
            loss, grads = lax.psum((loss, grads), model.axis_name)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        step, masks = state.step + 1, state.masks
        state = TrainState(step, optax.apply_updates(state.params, updates), batch_stats, opt_state, masks)
        return state, {"loss": loss, "grad_norm": optax.tree.norm(grads)}

    return step


def make_refresh(
    fraction: float, random_fraction: float, steps_per_epoch: int
) -> Callable[[TrainState, jax.Array], tuple[TrainState, dict[str, jax.Array]]]:
    """refresh(state, rng) -> state with new masks, and `mask_metrics`. Equal on all devices without communication.

    `rng` is the run's key of the random part, as `jax.random.key_data`, uint32 [2]. `fraction` is the pruned share of
    the backbone's convolutions, `random_fraction` the part of it that is drawn at random, again each epoch.
    """

    def refresh(state: TrainState, rng: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
        if random_fraction > 0:
            epoch_rng = jax.random.fold_in(jax.random.wrap_key_data(rng), state.step // steps_per_epoch)
            masks = random_masks(epoch_rng, state.params, fraction, random_fraction)
        else:
            masks = magnitude_masks(state.params, fraction)
        return state.replace(masks=masks), jax.tree.map(jnp.float32, mask_metrics(state.masks, masks))

    return refresh
