"""The training step: one joint gradient of one loss over both branches, two forwards and one backward."""

from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from jax import lax

from sdclr_jax.learn.losses import nt_xent
from sdclr_jax.learn.masks import Tree, apply_masks, full_masks
from sdclr_jax.model.contrastive import ContrastiveNet
from sdclr_jax.model.norm import DENSE, PRUNED


@flax.struct.dataclass
class TrainState:
    """Everything that a run changes.

    Attributes:
        step: int32 scalar, updates so far.
        params: one shared parameter tree.
        batch_stats: running statistics of BatchNorm.
        opt_state: the optimiser's state.
        masks: of the pruned branch, see `prune`; empty for SimCLR.
    """

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
    """A fresh state, with masks that keep everything when a pruned branch is asked for.

    Args:
        model: the network; its initial values do not depend on `axis_name`.
        tx: the optimiser.
        rng: jax key [] of the initial weights.
        image_shape: (H, W, 3) of the views.
        pruned: whether the run has a pruned branch.
    """
    model = model.clone(axis_name=None)
    variables = jax.jit(model.init)(rng, jnp.zeros((1, *image_shape)))
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables["batch_stats"],
        opt_state=tx.init(params),
        masks=full_masks(params) if pruned else {},
    )


def sdclr_loss(
    model: ContrastiveNet,
    params: Tree,
    pruned_params: Tree,
    batch_stats: Tree,
    views: jax.Array,
    rows: jax.Array | None,
    temperature: float | jax.Array,
) -> tuple[jax.Array, Tree]:
    """NT-Xent of view 1 through the dense branch against view 2 through the pruned one.

    Args:
        params, pruned_params: of the two branches; the second is `apply_masks` of the first.
        views: float [2, N, H, W, 3], RGB in [0, 1].
        rows: bool [N], false for padding; None when all images are real.
        temperature: of the loss.

    Returns:
        The loss (with `model.axis_name` this device's share, see `nt_xent`) and the new running statistics.
    """
    embeddings = []
    for branch, weights in ((DENSE, params), (PRUNED, pruned_params)):
        embedding, updated = model.apply(
            {"params": weights, "batch_stats": batch_stats}, views[branch], branch, True, rows, mutable=["batch_stats"]
        )
        batch_stats = updated["batch_stats"]
        embeddings.append(embedding.projections)
    return nt_xent(*embeddings, temperature, rows, model.axis_name), batch_stats


def simclr_loss(
    model: ContrastiveNet,
    params: Tree,
    batch_stats: Tree,
    views: jax.Array,
    rows: jax.Array | None,
    temperature: float | jax.Array,
) -> tuple[jax.Array, Tree]:
    """NT-Xent of two views through one branch in one forward, so that BatchNorm's statistics span both views.

    Arguments and results, such as views [2, N, H, W, 3], as in `sdclr_loss`.
    """
    images = views.reshape(-1, *views.shape[2:])
    both_rows = None if rows is None else jnp.tile(rows, 2)
    embedding, updated = model.apply(
        {"params": params, "batch_stats": batch_stats}, images, DENSE, True, both_rows, mutable=["batch_stats"]
    )
    first, second = jnp.split(embedding.projections, 2)
    return nt_xent(first, second, temperature, rows, model.axis_name), updated["batch_stats"]


def make_train_step(
    model: ContrastiveNet, tx: optax.GradientTransformation, pruned: bool
) -> Callable[..., tuple[TrainState, dict[str, Any]]]:
    """The step as a pure function, to be jitted, or pmapped over `model.axis_name`.

    Args:
        model: the network; `model.axis_name` names the mapped axis of the batch, or None on one device.
        tx: the optimiser.
        pruned: true for SDCLR (dense against pruned branch), false for SimCLR.

    Returns:
        step(state, views [2, N, H, W, 3], rows bool [N] or None, temperature) -> (state, metrics): the scalars `loss`
        and `grad_norm`, equal on all devices. N is the device's share of the batch.
    """

    def step(
        state: TrainState, views: jax.Array, rows: jax.Array | None, temperature: float | jax.Array
    ) -> tuple[TrainState, dict[str, Any]]:
        def loss_fn(params: Tree) -> tuple[jax.Array, Tree]:
            if pruned:
                pruned_params = apply_masks(params, state.masks)
                return sdclr_loss(model, params, pruned_params, state.batch_stats, views, rows, temperature)
            return simclr_loss(model, params, state.batch_stats, views, rows, temperature)

        (loss, batch_stats), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        if model.axis_name is not None:
            loss, grads = lax.psum((loss, grads), model.axis_name)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        state = state.replace(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            batch_stats=batch_stats,
            opt_state=opt_state,
        )
        return state, {"loss": loss, "grad_norm": optax.tree.norm(grads)}

    return step
