"""What the settings of an SDCLR run may be: one table, checked before anything is read."""

from ml_collections import ConfigDict

from sdclr_jax.learn.build import DTYPES, OPTIMIZERS
from sdclr_jax.model.contrastive import BACKBONES
from sdclr_jax.probe.balancedness import GROUPINGS
from sdclr_jax.probe.features import CROPS
from trainlib.core.config import BELOW_ONE, COUNT, NATURAL, NOT_NEGATIVE, POSITIVE, SEED, SHARE, Range, check_settings
from trainlib.core.errors import UserError

_KEYS = (
    (SEED, "seed"),
    (NATURAL, "split train_limit warmup_epochs max_steps log_every forgetting_every_epochs save_every_epochs"),
    (NATURAL, "probe_full_decays probe_few_decays probe_limit"),
    (COUNT, "canvas test_resize loader_threads view_size projection_size epochs batch_size keep_checkpoints"),
    (COUNT, "feature_batch_size probe_batch_size probe_full_epochs probe_full_validate_every probe_few_epochs"),
    (COUNT, "probe_few_validate_every probe_select_top knn_neighbours"),
    (SHARE, "view_flip view_jitter view_gray view_blur prune_fraction prune_random_fraction"),
    (NOT_NEGATIVE, "imbalance view_strengths learning_rate weight_decay probe_learning_rate"),
    (POSITIVE, "temperature temperature_cycle"),
    (BELOW_ONE, "momentum"),
    (Range(0, 1, above=True), "view_area"),
    (Range(2, 3), "head_layers"),
    (Range(1, 2), "prune_bn_updates"),
)
RANGES = {key: allowed for allowed, keys in _KEYS for key in keys.split()}
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
