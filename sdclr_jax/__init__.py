"""SDCLR in JAX: contrastive learning of images against a pruned copy of the same network (Jiang et al., ICML 2021)."""

import pathlib

from trainlib.core.caches import prepare_caches
from trainlib.core.own_kernels import require_own_kernels

require_own_kernels(__name__)
prepare_caches(pathlib.Path(__file__).parent)

from kernels.lazy import door  # noqa: E402 - not before the check

_PLACES = {
    "magnitude_masks": "learn.masks",
    "random_masks": "learn.masks",
    "apply_masks": "learn.masks",
    "sparsity_report": "learn.masks",
    "nt_xent": "learn.losses",
    "l2_normalize": "learn.losses",
    "temperature_schedule": "learn.losses",
    "ContrastiveNet": "model.contrastive",
    "Conv": "model.resnet",
    "standardize": "model.resnet",
    "ForwardMode": "model.norm",
    "Dataset": "data.datasets",
    "load_dataset": "data.datasets",
    "train_and_evaluate": "commands.train",
    "format_report": "report.evaluation",
}
__getattr__, __dir__ = door(__name__, _PLACES)
