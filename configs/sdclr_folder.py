"""SDCLR on images of your own: a folder of image files, taken as they are or made long-tailed.

Aims at no row of the paper. `data_path` holds train/CLASS/* and test/CLASS/*, or CLASS/* alone, or images without class
folders, which can be trained on but not evaluated. The settings are between the paper's for CIFAR and for ImageNet, for
photographs at 96 x 96; `epochs`, `prune_fraction` and `temperature` are the first to look at.

  python -m sdclr_jax.train --config=configs/sdclr_folder.py --config.data_path=DIR --workdir=runs/folder/sdclr_1
  python -m sdclr_jax.evaluate --workdir=runs/folder/sdclr_1

Words: simclr (one branch), longtail=R (D_i is drawn from the images along the exponential profile, with R times as many
images in the largest class as in the smallest), balanced (D_b), split=N (another draw of lists), smoke. With another
`view_size` set `test_resize` (8/7 of it) and `canvas` (twice) too.
"""

from ml_collections import ConfigDict

from trainlib.core.config import parse_words


def get_config(words: str = "") -> ConfigDict:
    known = {"method": ("sdclr", "simclr"), "longtail": 0.0, "balanced": False, "split": 1, "smoke": False}
    given = parse_words(words, known)
    config = ConfigDict()
    config.seed = 1
    config.platform = "any"

    config.dataset = "folder"
    config.data_path = ""
    config.split = given["split"]
    config.balanced = given["balanced"]
    config.imbalance = given["longtail"]
    config.train_limit = 0

    config.canvas = 192
    config.test_resize = 112
    config.loader_threads = 8
    config.exif_orientation = True

    config.view_size = 96
    config.view_area = (0.08, 1.0)
    config.view_flip = 0.5
    config.view_jitter = 0.8
    config.view_strengths = (0.4, 0.4, 0.4, 0.1)
    config.view_gray = 0.2
    config.view_blur = 0.0

    config.backbone = "resnet18"
    config.stem = "imagenet"
    config.head_layers = 3
    config.projection_size = 128
    config.dtype = "float32"

    config.prune_fraction = 0.3 if given["method"] == "sdclr" else 0.0
    config.prune_random_fraction = 0.0
    config.dual_batchnorm = True
    config.prune_bn_updates = 2
    config.temperature = 0.2
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

    config.log_every = 20
    config.forgetting_every_epochs = 50
    config.save_every_epochs = 100
    config.keep_checkpoints = 2

    config.probe_crop = "resized"
    config.feature_batch_size = 512
    config.probe_batch_size = 512
    config.probe_learning_rate = 30.0
    config.probe_decay_before_epoch = True
    config.probe_full_epochs = 30
    config.probe_full_decays = (10, 20)
    config.probe_full_validate_every = 2
    config.probe_few_epochs = 100
    config.probe_few_decays = (40, 60)
    config.probe_few_validate_every = 10
    config.probe_select_top = 1
    config.probe_limit = 0
    config.knn_neighbours = 20
    config.groups = "rank"

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
