"""SDCLR on ImageNet-100-LT: ResNet-50, 100 classes of 1280 .. 6 images, as published (Jiang et al., ICML 2021).

Aims at the ImageNet-100-LT rows of the paper's Table 4 (linear separability) and Table 5 (few-shot), one run each:

              Many   Medium  Few    Std   All
  T4 SimCLR   69.54  63.71   59.69  4.04  65.46
  T4 SDCLR    70.10  65.04   60.92  3.75  66.48
  T5 SimCLR   48.36  39.00   35.23  5.52  42.16
  T5 SDCLR    48.31  39.17   36.46  5.07  42.38

With simclr,balanced the run aims at the D_b row of Table 3. 48 steps an epoch, 24,000 steps a run: made for GPUs.
Needs the images of ImageNet and the authors' lists: docs/sdclr.md tells where they lie and which is not published.

  python -m sdclr_jax.train --config=configs/sdclr_imagenet100_lt.py \
      --config.data_path=DIR --config.lists=DIR --workdir=runs/imagenet100/sdclr
  python -m sdclr_jax.evaluate --workdir=runs/imagenet100/sdclr

Words: simclr (one branch, head of two layers, temperature 0.2), balanced (D_b), smoke.
"""

from ml_collections import ConfigDict

from trainlib.core.config import parse_words


def get_config(words: str = "") -> ConfigDict:
    known = {"method": ("sdclr", "simclr"), "balanced": False, "smoke": False}
    given = parse_words(words, known)
    config = ConfigDict()
    config.seed = 1
    config.platform = "any"

    config.dataset = "imagenet100"
    config.data_path = ""
    config.lists = ""
    config.split = 1
    config.balanced = given["balanced"]
    config.list_imbalanced = "imageNet_100_LT_train.txt"
    config.list_balanced = "imageNet_100_BL_train.txt"
    config.list_few = "imageNet_100_sub_balance_train_0.01.txt"
    config.list_full = "ImageNet_100_train.txt"
    config.list_val = "ImageNet_100_val.txt"
    config.list_test = "ImageNet_100_test.txt"
    config.train_limit = 0

    config.canvas = 512
    config.test_resize = 256
    config.loader_threads = 16
    config.exif_orientation = False  # as torchvision

    config.view_size = 224
    config.view_area = (0.08, 1.0)
    config.view_flip = 0.5
    config.view_jitter = 0.8
    config.view_strengths = (0.4, 0.4, 0.4, 0.1)
    config.view_gray = 0.2
    config.view_blur = 0.5

    config.backbone = "resnet50"
    config.stem = "imagenet"
    config.head_layers = 3 if given["method"] == "sdclr" else 2
    config.projection_size = 128
    config.dtype = "float32"

    config.prune_fraction = 0.3 if given["method"] == "sdclr" else 0.0
    config.prune_random_fraction = 0.0
    config.dual_batchnorm = True
    config.prune_bn_updates = 2
    config.temperature = 0.3 if given["method"] == "sdclr" else 0.2
    config.temperature_cycle = ()

    config.epochs = 500
    config.warmup_epochs = 10
    config.max_steps = 0
    config.batch_size = 256
    config.drop_last = False
    config.optimizer = "sgd"
    config.learning_rate = 0.5
    config.momentum = 0.9
    config.weight_decay = 1e-4

    config.log_every = 48
    config.forgetting_every_epochs = 50
    config.save_every_epochs = 10
    config.keep_checkpoints = 2

    config.probe_crop = "resized"
    config.feature_batch_size = 512
    config.probe_batch_size = 512
    config.probe_learning_rate = 30.0
    config.probe_decay_before_epoch = False
    config.probe_full_epochs = 30
    config.probe_full_decays = (10, 20)
    config.probe_full_validate_every = 2
    config.probe_few_epochs = 100
    config.probe_few_decays = (40, 60)
    config.probe_few_validate_every = 10
    config.probe_select_top = 5
    config.probe_limit = 0
    config.knn_neighbours = 200
    config.groups = "size"

    if given["smoke"]:
        config.canvas = 64
        config.test_resize = 36
        config.loader_threads = 2
        config.view_size = 32
        config.backbone = "resnet32_s"
        config.epochs = 2
        config.warmup_epochs = 1
        config.train_limit = 64
        config.batch_size = 32
        config.log_every = 1
        config.forgetting_every_epochs = 1
        config.save_every_epochs = 1
        config.feature_batch_size = 256
        config.probe_full_epochs = 1
        config.probe_few_epochs = 2
        config.probe_limit = 200
        config.knn_neighbours = 20
    return config
