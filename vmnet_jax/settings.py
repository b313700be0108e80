"""What the settings of a VMNet run may be: one table, checked before anything is read."""

from ml_collections import ConfigDict

from kernels.device.attention.api import SHIFTS
from trainlib.core.config import BELOW_ONE, COUNT, NATURAL, NOT_NEGATIVE, POSITIVE, SEED, SHARE, check_settings
from trainlib.core.errors import UserError
from vmnet_jax.data.placement import ROTATIONS
from vmnet_jax.data.sample import FEATURE_WIDTHS, NUM_LEVELS
from vmnet_jax.learn.build import DTYPES, MODELS, check_operator, model_name
from vmnet_jax.model.geodesic import OPERATORS
from vmnet_jax.prediction.read_out import READ_OUTS

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
    "operator": tuple(OPERATORS),
    "layer_norm_scope": ("scene", "batch"),
    "attention_shift": SHIFTS,
    "dtype": tuple(DTYPES),
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
    elif model_name(config) != "geodesic" and len(config.widths) != NUM_LEVELS:
        raise UserError(f"config.widths is {config.widths}, it must have {NUM_LEVELS} numbers: one per level")


def _check_dcm(config: ConfigDict) -> None:
    lengths = {key: len(config[key]) for key in DCM}
    if len(set(lengths.values())) > 1 or not 1 <= lengths[DCM[0]] <= NUM_LEVELS:
        listed = ", ".join(f"config.{key} has {length}" for key, length in lengths.items())
        raise UserError(f"{listed} numbers; they need the same number of levels, 1 to {NUM_LEVELS}")
