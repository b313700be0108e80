"""The network's settings, read without building it. No other file reads the model's config keys."""

from collections.abc import Collection
from typing import Any

from ml_collections import ConfigDict

from trainlib.core.errors import UserError
from vmnet_jax.data.sample import VertexInputs

_MESH = ("geo_width", "layer_norm_scope", "attention_shift", "operator")
MODELS = {
    "vmnet": ("widths", *_MESH),
    "euclidean": ("widths",),
    "geodesic": _MESH,
    "baseline": ("widths", *_MESH),
    "baseline_intra": ("widths", *_MESH),
    "dcm": ("dcm_geo_widths", "dcm_euc_widths"),
}
"""The networks by `config.model`, and the config keys that become their attributes, less a leading `dcm_`."""
OPERATORS = ("scalar", "vector", "edgeconv")
DTYPES = ("float32", "bfloat16")
PUBLISHED = ("vmnet", "scalar")
"""The model and operator of the original program."""
WITHOUT_ATTENTION = ("euclidean", "baseline", "dcm")
WITHOUT_LAYER_NORM = ("euclidean", "dcm")


def network_attributes(config: ConfigDict) -> dict[str, Any]:
    """The attributes of the network of a config, its "dtype" by name: all that shapes it but the number of classes."""
    dtype = _choice(config, "dtype", DTYPES, "float32")
    check_operator(config)
    settings = {**config, "operator": _operator(config)}
    attributes = {key.removeprefix("dcm_"): settings[key] for key in MODELS[model_name(config)]}
    attributes = {key: tuple(value) if isinstance(value, list) else value for key, value in attributes.items()}
    return {**attributes, "dtype": dtype}


def network_key(config: ConfigDict, num_classes: int) -> list:
    """JSON values that determine the network of a config."""
    return [model_name(config), num_classes, network_attributes(config)]


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
