"""The state of a training run and one step of it."""

from collections.abc import Callable

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import path_aware_map

from vmnet_jax.learn.losses import scene_loss
from vmnet_jax.model.init import init_variables
from vmnet_jax.model.scene_batch import SceneBatch


@flax.struct.dataclass
class TrainState:
    """Arrays only; the model and the optimiser are closed over by the step."""

    step: jax.Array  # int32 [], optimiser steps done
    params: dict
    batch_stats: dict  # running means and variances of the batch normalisations; empty for a network without any
    opt_state: optax.OptState


def create_state(
    model: nn.Module, optimizer: optax.GradientTransformation, batch: SceneBatch, rng: jax.Array
) -> TrainState:
    """Fresh state from the jax key `rng` []; `batch` gives the shapes only. `model` must have no axis name here."""
    variables = init_variables(model, rng, batch)
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    return TrainState(jnp.zeros((), jnp.int32), params, batch_stats, optimizer.init(params))


def is_head(path: tuple[str, ...]) -> bool:
    """Whether a parameter's path, ("euclidean", "head", "kernel"), is of a classifier."""
    return path[-2] == "head"


def map_backbone(function: Callable[[jax.Array], jax.Array], params: dict) -> dict:
    """Applies `function` to every parameter [...] that is not a classifier's."""
    return path_aware_map(lambda path, leaf: leaf if is_head(path) else function(leaf), params)


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    axis_name: str | None,
    class_weights: jax.Array | None = None,
    heads_only: bool = False,
) -> Callable[[TrainState, SceneBatch], tuple[TrainState, dict]]:
    """step(state, batch) -> state, metrics.

    Inside pmap, `axis_name` joins the devices: the result equals one device's with the whole batch, since sums and
    counts are reduced, never means. `class_weights` is float [K]. With `heads_only` the two classifiers learn;
    everything else stays as it is and computes as in evaluation.
    """

    def step(state: TrainState, batch: SceneBatch) -> tuple[TrainState, dict]:
        def loss_fn(params):
            if heads_only:
                params = map_backbone(jax.lax.stop_gradient, params)
            variables = {"params": params, "batch_stats": state.batch_stats}
            logits, updated = model.apply(variables, batch, train=not heads_only, mutable=["batch_stats"])
            loss, aux = scene_loss(logits, batch, axis_name=axis_name, class_weights=class_weights)
            return loss, (aux, state.batch_stats if heads_only else updated.get("batch_stats", {}))

        (_, (metrics, batch_stats)), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
        if axis_name is not None:
            grads = jax.lax.psum(grads, axis_name)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        if heads_only:
            updates = map_backbone(jnp.zeros_like, updates)
        params = optax.apply_updates(state.params, updates)
        metrics = {**metrics, "gradient_norm": optax.tree.norm(grads)}
        return TrainState(state.step + 1, params, batch_stats, opt_state), metrics

    return step
