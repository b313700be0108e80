"""Every setting of an SDCLR run, with the paper's values; `sdclr_jax.settings` has the ranges of values."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from trainlib.core.config import parse_words

MARKS = ("epochs", "prune_fraction")
"""Settings that every config of this system has, and no other."""

IMAGE_FILES = {
    "canvas": 512,  # pixels: side of the square that an image is padded to; larger images are scaled down
    "test_resize": 256,  # pixels: shorter side before the central crop of an evaluation
    "loader_threads": 16,  # that decode images
    "exif_orientation": False,  # rotate images by their EXIF orientation; torchvision does not
}
"""Further settings of images that are read from their files in training."""

IMAGENET = {
    "view_size": 224,
    "view_area": (0.08, 1.0),
    "view_blur": 0.5,
    "backbone": "resnet50",
    "stem": "imagenet",
    "prune_fraction": 0.3,
    "temperature": 0.3,
    "epochs": 500,
    "batch_size": 256,
    "save_every_epochs": 10,
    "probe_crop": "resized",
    "feature_batch_size": 512,
    "probe_batch_size": 512,
    "probe_decay_before_epoch": False,
    "probe_full_validate_every": 2,
    "probe_few_validate_every": 10,
    "probe_select_top": 5,
    "groups": "size",
}
"""Overrides for ImageNet, as the authors ran ImageNet-100-LT."""

SMOKE = {
    "backbone": "resnet32_s",
    "epochs": 2,
    "warmup_epochs": 1,
    "train_limit": 64,
    "batch_size": 32,
    "log_every": 1,
    "forgetting_every_epochs": 1,
    "save_every_epochs": 1,
    "feature_batch_size": 256,
    "probe_full_epochs": 1,
    "probe_few_epochs": 2,
    "probe_limit": 200,
    "knn_neighbours": 20,
}
"""Overrides of the word `smoke`: a run of about a minute."""

SMOKE_IMAGE_FILES = {"canvas": 64, "test_resize": 36, "loader_threads": 2, "view_size": 32}
"""Further overrides of `smoke` with image files."""


def default_config() -> ConfigDict:
    """The settings of the paper (Jiang et al., ICML 2021), for CIFAR-LT; a file in configs/ overrides what differs."""
    config = ConfigDict()
    config.seed = 10  # of the weights, the order of the images and their views
    config.platform = "any"  # or cpu, gpu, tpu: the run refuses to start elsewhere

    config.dataset = ""  # digits, cifar10, cifar100, imagenet, imagenet100, folder, tfds
    config.data_path = ""  # folder of the images; digits needs none
    # lists: folder of the authors' lists. Without one, CIFAR's are drawn by the same rules; folder has no such key.
    # list_imbalanced, list_balanced, list_few, list_full, list_val, list_test: files in it, for ImageNet alone.
    # imbalance: images of the largest class by those of the smallest; 0: as they are. Folder alone has this key.
    config.split = 1  # which draw of the lists
    config.balanced = False  # D_b instead of D_i
    config.train_limit = 0  # number of random images of the list to train on; 0: all

    config.view_size = 32  # pixels
    config.view_area = (0.1, 1.0)  # share of the image that a crop covers
    config.view_flip = 0.5  # probability
    config.view_jitter = 0.8  # probability of colour jitter
    config.view_strengths = (0.4, 0.4, 0.4, 0.1)  # brightness, contrast, saturation, hue
    config.view_gray = 0.2  # probability
    config.view_blur = 0.0  # probability

    config.backbone = "resnet18"  # or resnet34, resnet50, resnet32_s
    config.stem = "cifar"  # 3x3, stride 1; or imagenet: 7x7, stride 2, pooling
    config.head_layers = 3  # the published SimCLR has 2
    config.projection_size = 128  # D, channels of the embedding
    config.dtype = "float32"  # of the computation; or bfloat16

    config.prune_fraction = 0.9  # share of the backbone's kernels that the second branch lacks; 0: SimCLR, one branch
    config.prune_random_fraction = 0.0  # the part of prune_fraction that is drawn at random, not by magnitude
    config.dual_batchnorm = True  # own statistics and scales for the pruned branch
    config.prune_bn_updates = 2  # updates of the pruned branch's running statistics per step, as the original: 2
    config.temperature = 0.2  # of NT-Xent
    config.temperature_cycle = ()  # (minimum, maximum, period in epochs), a cosine; (): constant

    config.epochs = 2000  # of the schedule of the learning rate, and of the run
    config.warmup_epochs = 10  # the learning rate rises linearly from 0
    config.max_steps = 0  # of the run, without changing the schedule; 0: those of all epochs
    config.batch_size = 512  # images per step, over all devices
    config.drop_last = False  # True skips the last, smaller batch of an epoch
    config.optimizer = "sgd"  # or lars
    config.learning_rate = 0.5  # after the warm-up it falls along half a cosine
    config.momentum = 0.9  # of sgd and lars
    config.weight_decay = 1e-4  # this times the weights is added to their gradient

    config.log_every = 22  # steps, and after 1, 2, 5 and 10; 0: never
    config.forgetting_every_epochs = 50  # Figure 2 of the paper; 0: never
    config.save_every_epochs = 100  # epochs between checkpoints; 0: at the end alone
    config.keep_checkpoints = 2  # the newest ones

    config.probe_crop = "padded"  # training crops of the linear probe: none, padded, resized
    config.feature_batch_size = 1024  # images per pass of the network in evaluation, over all devices
    config.probe_batch_size = 128  # images per step of the linear probe
    config.probe_learning_rate = 30.0  # of the linear probe, before its decays
    config.probe_decay_before_epoch = True  # the rate falls before the epoch of a decay, as on CIFAR; or after
    config.probe_full_epochs = 30  # linear separability: the full balanced training list
    config.probe_full_decays = (10, 20)  # epochs at which the rate falls to a tenth
    config.probe_full_validate_every = 1  # epochs
    config.probe_few_epochs = 100  # few-shot: the small balanced list S_b
    config.probe_few_decays = (40, 60)  # as probe_full_decays
    config.probe_few_validate_every = 5  # epochs
    config.probe_select_top = 1  # the best epoch is chosen by top-1 (CIFAR) or top-5 (ImageNet) accuracy
    config.probe_limit = 0  # images of the full training list that evaluations use; 0: all
    config.knn_neighbours = 200  # that vote in the evaluation by nearest neighbours
    config.groups = "rank"  # Many, Medium, Few: thirds of the classes by size; or size: above 100, 20 .. 100, below 20
    return config


def cifar_config(
    dataset: str, words: str, settings: Mapping[str, Any] | None = None, smoke: Mapping[str, Any] | None = None
) -> ConfigDict:
    """A config of CIFAR-LT with the words simclr, balanced, split=N and smoke.

    Args:
        dataset: "cifar10" or "cifar100".
        settings: what differs from `default_config`.
        smoke: what differs from `SMOKE`.
    """
    known = {"method": ("sdclr", "simclr"), "balanced": False, "split": 1, "smoke": False}
    given = parse_words(words, known)
    config = default_config()
    config.update(settings or {}, dataset=dataset, lists="", split=given["split"], balanced=given["balanced"])
    if given["method"] == "simclr":
        config.update(prune_fraction=0.0, head_layers=2)
    if given["smoke"]:
        config.update({**SMOKE, **(smoke or {})})
    return config


def is_pruned(config: ConfigDict) -> bool:
    """True for SDCLR; a pruned fraction of 0 is SimCLR, with one branch."""
    return config.prune_fraction > 0
