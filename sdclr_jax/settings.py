"""What the settings of an SDCLR run may be: one table, checked before anything is read."""

from ml_collections import ConfigDict

from sdclr_jax.learn.build import DTYPES, OPTIMIZERS
from sdclr_jax.model.contrastive import BACKBONES
from sdclr_jax.probe.balancedness import GROUPINGS
from sdclr_jax.probe.features import CROPS
from trainlib.core.config import BELOW_ONE, COUNT, NATURAL, NOT_NEGATIVE, POSITIVE, SEED, SHARE, Range, check_settings
from trainlib.core.errors import UserError

RANGES = {
    "seed": SEED,
    "split": NATURAL,
    "imbalance": NOT_NEGATIVE,
    "train_limit": NATURAL,
    "canvas": COUNT,
    "test_resize": COUNT,
    "loader_threads": COUNT,
    "view_size": COUNT,
    "view_area": Range(0, 1, above=True),
    "view_flip": SHARE,
    "view_jitter": SHARE,
    "view_strengths": NOT_NEGATIVE,
    "view_gray": SHARE,
    "view_blur": SHARE,
    "head_layers": Range(2, 3),
    "projection_size": COUNT,
    "prune_fraction": SHARE,
    "prune_random_fraction": SHARE,
    "prune_bn_updates": Range(1, 2),
    "temperature": POSITIVE,
    "temperature_cycle": POSITIVE,
    "epochs": COUNT,
    "warmup_epochs": NATURAL,
    "max_steps": NATURAL,
    "batch_size": COUNT,
    "learning_rate": NOT_NEGATIVE,
    "momentum": BELOW_ONE,
    "weight_decay": NOT_NEGATIVE,
    "log_every": NATURAL,
    "forgetting_every_epochs": NATURAL,
    "save_every_epochs": NATURAL,
    "keep_checkpoints": COUNT,
    "feature_batch_size": COUNT,
    "probe_batch_size": COUNT,
    "probe_learning_rate": NOT_NEGATIVE,
    "probe_full_epochs": COUNT,
    "probe_full_decays": NATURAL,
    "probe_full_validate_every": COUNT,
    "probe_few_epochs": COUNT,
    "probe_few_decays": NATURAL,
    "probe_few_validate_every": COUNT,
    "probe_select_top": COUNT,
    "probe_limit": NATURAL,
    "knn_neighbours": COUNT,
}
CHOICES = {
    "backbone": tuple(BACKBONES),
    "stem": ("cifar", "imagenet"),
    "dtype": tuple(DTYPES),
    "optimizer": tuple(OPTIMIZERS),
    "probe_crop": CROPS,
    "groups": tuple(GROUPINGS),
}


def check_config(config: ConfigDict) -> None:
    """Raises UserError for a setting out of its range and for settings that do not go together."""
    check_settings(config, RANGES, CHOICES)
    if config.prune_random_fraction > config.prune_fraction:
        raise UserError(
            f"config.prune_random_fraction is {config.prune_random_fraction}, it must be at most config.prune_fraction,"
            f" which is {config.prune_fraction}"
        )
    area, cycle = config.view_area, config.temperature_cycle
    if len(area) != 2 or area[0] > area[1]:
        raise UserError(f"config.view_area is {area}, it must be (smallest, largest), such as (0.08, 1.0)")
    if cycle and (len(cycle) != 3 or cycle[0] > cycle[1]):
        raise UserError(f"config.temperature_cycle is {cycle}, it must be (minimum, maximum, period) or ()")
    if len(config.view_strengths) != 4 or config.view_strengths[3] > 0.5:
        form = "(brightness, contrast, saturation, hue) with a hue of at most 0.5"
        raise UserError(f"config.view_strengths is {config.view_strengths}, it must be {form}")
