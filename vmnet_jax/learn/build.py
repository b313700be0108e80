"""From a config to the network, its optimiser and its state: the one place that reads the model's config keys."""

import functools
from collections.abc import Callable, Collection
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from preprocess.scene.hierarchy import LEVELS
from trainlib.core.errors import UserError
from vmnet_jax.data.batching import empty_batch
from vmnet_jax.data.sample import VertexInputs, feature_width
from vmnet_jax.learn.optim import poly_schedule, sgd_dampened
from vmnet_jax.learn.step import TrainState, create_state
from vmnet_jax.model.dcm import DCMNet
from vmnet_jax.model.geodesic import OPERATORS
from vmnet_jax.model.vmnet import EuclideanNetwork, GeodesicNetwork, VMNet

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
PUBLISHED = ("vmnet", "scalar")
"""The model and operator of the original program."""
WITHOUT_ATTENTION = ("euclidean", "baseline", "dcm")
WITHOUT_LAYER_NORM = ("euclidean", "dcm")

_MESH = ("geo_width", "layer_norm_scope", "attention_shift", "operator")
MODELS: dict[str, tuple[Callable[..., nn.Module], tuple[str, ...]]] = {
    "vmnet": (VMNet, ("widths", *_MESH)),
    "euclidean": (EuclideanNetwork, ("widths",)),
    "geodesic": (GeodesicNetwork, _MESH),
    "baseline": (functools.partial(VMNet, intra=False, inter=False), ("widths", *_MESH)),
    "baseline_intra": (functools.partial(VMNet, inter=False), ("widths", *_MESH)),
    "dcm": (DCMNet, ("dcm_geo_widths", "dcm_euc_widths")),
}
"""The networks by `config.model`, and the config keys that become their attributes, less a leading `dcm_`."""


def build_model(config: ConfigDict, num_classes: int, axis_name: str | None = None) -> nn.Module:
    """The network of a config: its `__call__(batch, train)` gives `vmnet_jax.model.vmnet.Logits`.

    With `axis_name` its training statistics span all devices.
    """
    dtype = DTYPES[_choice(config, "dtype", DTYPES, "float32")]
    check_operator(config)
    network, keys = MODELS[model_name(config)]
    settings = {**config, "operator": _operator(config)}
    attributes = {key.removeprefix("dcm_"): settings[key] for key in keys}
    attributes = {key: tuple(value) if isinstance(value, list) else value for key, value in attributes.items()}
    return network(num_classes, **attributes, dtype=dtype, axis_name=axis_name)


def sample_settings(config: ConfigDict) -> dict[str, Any]:
    """How samples are made for the network of a config: arguments of the batches in `vmnet_jax.data.scenes`."""
    return {
        "features": tuple(config.features),
        "rotation": config.rotation,
        "seed": config.seed,
        "vertices": vertex_inputs(config),
    }


def vertex_inputs(config: ConfigDict) -> VertexInputs | None:
    """What the network of a config reads at the mesh's vertices; None for one that starts at voxels."""
    model = model_name(config)
    if model == "dcm":
        return VertexInputs(tuple(config.dcm_radii), config.dcm_neighbours)
    return VertexInputs() if model == "geodesic" else None


def check_operator(config: ConfigDict) -> None:
    """Raises UserError for an operator that the network of `config.model` has no place for."""
    model, operator = model_name(config), _operator(config)
    if model in WITHOUT_ATTENTION and operator != "scalar":
        raise UserError(
            f"config.operator is {operator!r}, but the network of config.model {model!r} has no attention in whose "
            "place it could stand; leave the operator at 'scalar'"
        )


def model_name(config: ConfigDict) -> str:
    """One of `MODELS`."""
    return _choice(config, "model", MODELS, "vmnet")


def is_published(config: ConfigDict) -> bool:
    """Whether the network is the original program's, whatever its widths."""
    return (model_name(config), _operator(config)) == PUBLISHED


def _operator(config: ConfigDict) -> str:
    return _choice(config, "operator", OPERATORS, "scalar")


def _choice(config: ConfigDict, key: str, known: Collection[str], default: str) -> str:
    """A setting that names one of several; configs of runs from before there was a choice lack the key."""
    value = config.get(key, default)
    if value not in known:
        raise UserError(f"config.{key} is {value!r}, known are {', '.join(known)}")
    return value


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
