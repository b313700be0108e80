"""From a config to the network, its optimiser, views and state: the one place that reads the model's config keys."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from sdclr_jax.default_config import is_pruned
from sdclr_jax.learn.losses import temperature_schedule
from sdclr_jax.learn.optim import Schedule, lars, sgd, warmup_cosine
from sdclr_jax.learn.step import TrainState, create_state
from sdclr_jax.model.contrastive import ContrastiveNet
from sdclr_jax.views.views import ViewConfig
from trainlib.core.errors import UserError

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
OPTIMIZERS = {"sgd": sgd, "lars": lars}


class Keys(NamedTuple):
    """Random keys [] of a run, by purpose."""

    init: jax.Array
    views: jax.Array
    masks: jax.Array


def run_keys(config: ConfigDict) -> Keys:
    """The keys that follow from `config.seed`."""
    return Keys(*jax.random.split(jax.random.key(config.seed), 3))


def _chosen(config: ConfigDict, key: str, known: Mapping[str, Any]) -> Any:
    """The value that `config[key]` names. Raises UserError for an unknown name."""
    if config[key] not in known:
        raise UserError(f"config.{key} is {config[key]!r}; known: {', '.join(known)}")
    return known[config[key]]


def build_model(config: ConfigDict, axis_name: str | None = None) -> ContrastiveNet:
    """The network of a config. With `axis_name` its training statistics span all devices."""
    return ContrastiveNet(
        backbone_name=config.backbone,
        stem=config.stem,
        head_layers=config.head_layers,
        projection_size=config.projection_size,
        num_bn_sets=2 if is_pruned(config) and config.dual_batchnorm else 1,
        prune_bn_updates=config.prune_bn_updates,
        axis_name=axis_name,
        dtype=_chosen(config, "dtype", DTYPES),
    )


def build_schedule(config: ConfigDict, steps_per_epoch: int) -> Schedule:
    """Learning rate by step, counted from 1."""
    return warmup_cosine(config.learning_rate, steps_per_epoch, config.epochs, config.warmup_epochs)


def build_optimizer(config: ConfigDict, steps_per_epoch: int) -> optax.GradientTransformation:
    """SGD or LARS with momentum and weight decay on the warm-up cosine."""
    make, schedule = _chosen(config, "optimizer", OPTIMIZERS), build_schedule(config, steps_per_epoch)
    return make(schedule, momentum=config.momentum, weight_decay=config.weight_decay)


def build_temperature(config: ConfigDict) -> Callable[[jax.Array | float], jax.Array | float]:
    """Temperature [] by epoch: constant, or by `config.temperature_cycle` = (minimum, maximum, period in epochs)."""
    if config.temperature_cycle:
        return lambda epoch: temperature_schedule(epoch, *config.temperature_cycle)
    return lambda epoch: config.temperature


def build_views(config: ConfigDict) -> ViewConfig:
    """Distribution of the two views."""
    return ViewConfig(
        size=config.view_size,
        area=tuple(config.view_area),
        flip=config.view_flip,
        jitter=config.view_jitter,
        strengths=tuple(config.view_strengths),
        gray=config.view_gray,
        blur=config.view_blur,
    )


def build_state(config: ConfigDict, steps_per_epoch: int) -> TrainState:
    """A fresh training state; the same config and seed give the same bytes."""
    tx = build_optimizer(config, steps_per_epoch)
    shape = (config.view_size, config.view_size, 3)
    return create_state(build_model(config), tx, run_keys(config).init, shape, is_pruned(config))
