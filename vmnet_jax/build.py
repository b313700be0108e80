"""From a config to the network, its optimiser and its state: the one place that reads the model's config keys."""

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from trainlib.errors import UserError
from vmnet_jax.batching import empty_batch
from vmnet_jax.model import VMNet
from vmnet_jax.optim import poly_schedule, sgd_dampened
from vmnet_jax.sample import feature_width
from vmnet_jax.train_state import TrainState, create_state

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def build_model(config: ConfigDict, num_classes: int, axis_name: str | None = None) -> VMNet:
    """The network of a config. With `axis_name` its training statistics are those of all devices together."""
    if config.dtype not in DTYPES:
        raise UserError(f"config.dtype is {config.dtype!r}, known are {', '.join(DTYPES)}")
    return VMNet(
        num_classes=num_classes,
        widths=tuple(config.widths),
        geo_width=config.geo_width,
        layer_norm_scope=config.layer_norm_scope,
        attention_shift=config.attention_shift,
        dtype=DTYPES[config.dtype],
        axis_name=axis_name,
    )


def build_schedule(config: ConfigDict) -> optax.Schedule:
    """Learning rate by step."""
    return poly_schedule(config.learning_rate, config.num_steps - 1)


def build_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """SGD with momentum, dampening and weight decay on the polynomial schedule."""
    return sgd_dampened(build_schedule(config), config.momentum, config.dampening, config.weight_decay)


def build_state(config: ConfigDict, num_classes: int) -> TrainState:
    """A fresh training state; the same config and seed give the same bytes."""
    batch = empty_batch(feature_width(tuple(config.features)))
    return create_state(build_model(config, num_classes), build_optimizer(config), batch, jax.random.key(config.seed))
