"""From a config to the network, its optimiser and its state."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from preprocess.scene.params import LEVELS
from vmnet_jax.data.batching import empty_batch
from vmnet_jax.data.sample import feature_width
from vmnet_jax.learn.network_settings import model_name, network_attributes, vertex_inputs
from vmnet_jax.learn.optim import poly_schedule, sgd_dampened
from vmnet_jax.learn.step import TrainState, create_state
from vmnet_jax.model.dcm import DCMNet
from vmnet_jax.model.vmnet import EuclideanNetwork, GeodesicNetwork, VMNet

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "vmnet": VMNet,
    "euclidean": EuclideanNetwork,
    "geodesic": GeodesicNetwork,
    "baseline": functools.partial(VMNet, intra=False, inter=False),
    "baseline_intra": functools.partial(VMNet, inter=False),
    "dcm": DCMNet,
}
"""By `config.model`."""
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def build_model(config: ConfigDict, num_classes: int, axis_name: str | None = None) -> nn.Module:
    """The network of a config: its `__call__(batch, train)` gives `vmnet_jax.model.vmnet.Logits`.

    With `axis_name` its training statistics span all devices.
    """
    attributes = network_attributes(config)
    dtype = DTYPES[attributes.pop("dtype")]
    return NETWORKS[model_name(config)](num_classes, **attributes, dtype=dtype, axis_name=axis_name)


def build_schedule(config: ConfigDict) -> optax.Schedule:
    """Learning rate by step."""
    return poly_schedule(config.learning_rate, config.num_steps - 1)


def build_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """SGD with momentum, dampening and weight decay on the polynomial schedule."""
    return sgd_dampened(build_schedule(config), config.momentum, config.dampening, config.weight_decay)


def build_state(config: ConfigDict, num_classes: int, levels: int = LEVELS) -> TrainState:
    """A fresh training state for scenes of this many levels; the same config and seed give the same bytes."""
    batch = empty_batch(feature_width(tuple(config.features)), vertex_inputs(config), levels)
    return create_state(build_model(config, num_classes), build_optimizer(config), batch, jax.random.key(config.seed))


def variable_shapes(config: ConfigDict, num_classes: int) -> dict:
    """Shapes and dtypes of the network's {"params", "batch_stats"}, the latter only if it has any; traced."""
    init = functools.partial(build_model(config, num_classes).init, train=False)
    batch = empty_batch(feature_width(tuple(config.features)), vertex_inputs(config))
    return jax.eval_shape(init, jax.random.key(0), batch)
