"""From a config to the network, its optimiser and its state: the one place that reads the model's config keys."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from trainlib.core.errors import UserError
from vmnet_jax.data.batching import empty_batch
from vmnet_jax.data.sample import VertexInputs, feature_width
from vmnet_jax.learn.optim import poly_schedule, sgd_dampened
from vmnet_jax.learn.step import TrainState, create_state
from vmnet_jax.model.dcm import DCMNet
from vmnet_jax.model.geodesic import OPERATORS
from vmnet_jax.model.geodesic_network import GeodesicNetwork
from vmnet_jax.model.vmnet import EuclideanNetwork, VMNet

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


PUBLISHED = ("vmnet", "scalar")
"""The model and operator of the original program."""
WITHOUT_ATTENTION = ("euclidean", "baseline", "dcm")
WITHOUT_LAYER_NORM = ("euclidean", "dcm")


def build_model(config: ConfigDict, num_classes: int, axis_name: str | None = None) -> nn.Module:
    """The network of a config: its `__call__(batch, train)` gives `vmnet_jax.model.vmnet.Logits`.

    With `axis_name` its training statistics span all devices.
    """
    if config.dtype not in DTYPES:
        raise UserError(f"config.dtype is {config.dtype!r}, known are {', '.join(DTYPES)}")
    check_operator(config)
    return MODELS[model_name(config)](config, num_classes, {"dtype": DTYPES[config.dtype], "axis_name": axis_name})


def _vmnet(config: ConfigDict, num_classes: int, common: dict, intra: bool = True, inter: bool = True) -> nn.Module:
    widths = {"widths": tuple(config.widths), "geo_width": config.geo_width}
    return VMNet(num_classes, **widths, **_mesh(config), intra=intra, inter=inter, **common)


def _euclidean(config: ConfigDict, num_classes: int, common: dict) -> nn.Module:
    return EuclideanNetwork(num_classes, tuple(config.widths), **common)


def _geodesic(config: ConfigDict, num_classes: int, common: dict) -> nn.Module:
    return GeodesicNetwork(num_classes, config.geo_width, **_mesh(config), **common)


def _dcm(config: ConfigDict, num_classes: int, common: dict) -> nn.Module:
    return DCMNet(num_classes, tuple(config.dcm_geo_widths), tuple(config.dcm_euc_widths), **common)


def _mesh(config: ConfigDict) -> dict[str, str]:
    scope, shift = config.layer_norm_scope, config.attention_shift
    return {"layer_norm_scope": scope, "attention_shift": shift, "operator": _operator(config)}


MODELS: dict[str, Callable[[ConfigDict, int, dict], nn.Module]] = {
    "vmnet": _vmnet,
    "euclidean": _euclidean,
    "geodesic": _geodesic,
    "baseline": functools.partial(_vmnet, intra=False, inter=False),
    "baseline_intra": functools.partial(_vmnet, inter=False),
    "dcm": _dcm,
}
"""The networks by `config.model`: (config, K, dtype and axis_name) -> module."""


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
    """One of `MODELS`; configs of runs from before there was a choice have no such key."""
    model = config.get("model", "vmnet")
    if model not in MODELS:
        raise UserError(f"config.model is {model!r}, known are {', '.join(MODELS)}")
    return model


def is_published(config: ConfigDict) -> bool:
    """Whether the network is the original program's, whatever its widths."""
    return (model_name(config), _operator(config)) == PUBLISHED


def _operator(config: ConfigDict) -> str:
    operator = config.get("operator", "scalar")
    if operator not in OPERATORS:
        raise UserError(f"config.operator is {operator!r}, known are {', '.join(OPERATORS)}")
    return operator


def build_schedule(config: ConfigDict) -> optax.Schedule:
    """Learning rate by step."""
    return poly_schedule(config.learning_rate, config.num_steps - 1)


def build_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """SGD with momentum, dampening and weight decay on the polynomial schedule."""
    return sgd_dampened(build_schedule(config), config.momentum, config.dampening, config.weight_decay)


def build_state(config: ConfigDict, num_classes: int) -> TrainState:
    """A fresh training state; the same config and seed give the same bytes."""
    batch = empty_batch(feature_width(tuple(config.features)), vertex_inputs(config))
    return create_state(build_model(config, num_classes), build_optimizer(config), batch, jax.random.key(config.seed))
