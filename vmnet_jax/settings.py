"""What the settings of a VMNet run may be: one table, checked before anything is read."""

import math
import pathlib

from ml_collections import ConfigDict

from kernels.device.attention.api import SHIFTS
from preprocess.labels.label_map import LabelMap
from preprocess.scene.params import LEVELS
from trainlib.core.config import BELOW_ONE, COUNT, NATURAL, NOT_NEGATIVE, POSITIVE, SEED, SHARE, check_settings
from trainlib.core.errors import UserError
from vmnet_jax.data.placement import ROTATIONS
from vmnet_jax.data.sample import FEATURE_WIDTHS
from vmnet_jax.learn.network_settings import DTYPES, MODELS, OPERATORS, check_operator, model_name
from vmnet_jax.prediction.choices import READ_OUTS

RANGES = {
    "seed": SEED,
    "val_fraction": BELOW_ONE,
    "edge_cutoff": COUNT,
    "batch_size": COUNT,
    "max_voxels": NATURAL,
    "max_buckets": COUNT,
    "loader_threads": COUNT,
    "cache_gib": NOT_NEGATIVE,
    "widths": COUNT,
    "geo_width": COUNT,
    "dcm_geo_widths": COUNT,
    "dcm_euc_widths": COUNT,
    "dcm_radii": POSITIVE,
    "dcm_neighbours": COUNT,
    "num_steps": COUNT,
    "learning_rate": NOT_NEGATIVE,
    "momentum": BELOW_ONE,
    "dampening": SHARE,
    "weight_decay": NOT_NEGATIVE,
    "class_weights": NOT_NEGATIVE,
    "log_every": NATURAL,
    "eval_every": NATURAL,
    "save_every": NATURAL,
    "keep_checkpoints": COUNT,
}
CHOICES = {
    "features": tuple(FEATURE_WIDTHS),
    "rotation": tuple(ROTATIONS),
    "model": tuple(MODELS),
    "operator": OPERATORS,
    "layer_norm_scope": ("scene", "batch"),
    "attention_shift": SHIFTS,
    "dtype": DTYPES,
    "read_out": READ_OUTS,
}
DCM = ("dcm_geo_widths", "dcm_euc_widths", "dcm_radii")


def check_config(config: ConfigDict) -> None:
    """Raises UserError for a setting out of its range and for settings that do not go together."""
    check_settings(config, RANGES, CHOICES)
    if not config.features:
        raise UserError(f"config.features is empty, known are {', '.join(FEATURE_WIDTHS)}")
    check_operator(config)
    if model_name(config) == "dcm":
        _check_dcm(config)
    elif model_name(config) != "geodesic" and len(config.widths) != LEVELS:
        raise UserError(f"config.widths is {config.widths}, it must have {LEVELS} numbers: one per level")


def _check_dcm(config: ConfigDict) -> None:
    lengths = {key: len(config[key]) for key in DCM}
    if len(set(lengths.values())) > 1 or not 1 <= lengths[DCM[0]] <= LEVELS:
        listed = ", ".join(f"config.{key} has {length}" for key, length in lengths.items())
        raise UserError(f"{listed} numbers; they need the same number of levels, 1 to {LEVELS}")


def check_classes(config: ConfigDict, label_map: LabelMap, folder: pathlib.Path) -> None:
    """Raises UserError if a scene folder has nothing to tell apart, or if the class weights are of other classes."""
    names, weights = label_map.names, config.class_weights
    if len(names) < 2:
        raise UserError(
            f"{folder / 'label_map.csv'} has one class, {names[0]!r}: a network that learns it is always right "
            "and distinguishes nothing. Preprocess the meshes again with a --label_map of at least two classes."
        )
    if len(weights) not in (0, len(names)):
        raise UserError(
            f"config.class_weights has {len(weights)} weights, but {folder / 'label_map.csv'} has {len(names)} "
            "classes; give a weight for each, in the map's order, or none"
        )
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or (len(weights) and not any(weights)):
        raise UserError(f"config.class_weights is {tuple(weights)}; weights are 0 or more, and one is above 0")
