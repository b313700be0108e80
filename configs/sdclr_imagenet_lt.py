"""SDCLR on ImageNet-LT: ResNet-50, 1,000 classes; SimCLR as published, SDCLR as its authors ran ImageNet-100-LT.

With simclr the run aims at the ImageNet rows of the paper's Table 3 (Pareto: ImageNet-LT of Liu et al., 2019; Exp: the
authors' exponential profile); the paper has no SDCLR row for ImageNet:

                     linear separability           few-shot
                     Many   Medium  Few    All     Many   Medium  Few    All
  Pareto  D_b        58.03  56.02   56.71  56.89   29.26  26.97   27.82  27.97
          D_i        58.56  55.71   56.66  56.93   31.36  26.21   27.21  28.33
  Exp     D_b        57.46  57.70   57.02  57.42   32.31  32.91   32.17  32.45
          D_i        58.37  56.97   56.27  57.43   35.98  29.56   28.02  32.12

About 450 steps an epoch, 226,000 steps a run: made for several GPUs. The linear evaluation passes 30 times over the
whole training list of ImageNet; --limit shortens it. Needs the images of ImageNet and the lists: docs/sdclr.md.

  python -m sdclr_jax.train --config=configs/sdclr_imagenet_lt.py:simclr \
      --config.data_path=DIR --config.lists=DIR --workdir=runs/imagenet/simclr
  python -m sdclr_jax.evaluate --workdir=runs/imagenet/simclr

Words: simclr (one branch, head of two layers, temperature 0.2), pareto or exp (which long tail), balanced (D_b), smoke.
"""

from ml_collections import ConfigDict

from trainlib.core.config import parse_words


def get_config(words: str = "") -> ConfigDict:
    known = {"method": ("sdclr", "simclr"), "profile": ("pareto", "exp"), "balanced": False, "smoke": False}
    given = parse_words(words, known)
    config = ConfigDict()
    config.seed = 1
    config.platform = "any"

    config.dataset = "imagenet"
    config.data_path = ""
    config.lists = ""
    config.split = 1
    config.balanced = given["balanced"]
    prefix = "imageNet_{}_exp" if given["profile"] == "exp" else "ImageNet_{}"
    config.list_imbalanced = prefix.format("LT") + "_train.txt"
    config.list_balanced = prefix.format("BL") + "_train.txt"
    config.list_few = "imageNet_sub_balance_train_0.01.txt"
    config.list_full = "ImageNet_train.txt"
    config.list_val = "ImageNet_LT_val.txt"
    config.list_test = "ImageNet_LT_test.txt"
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

    config.log_every = 50
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
        config.probe_limit = 2000
        config.knn_neighbours = 20
    return config
