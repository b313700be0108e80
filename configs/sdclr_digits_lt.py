"""SDCLR on scikit-learn's handwritten digits, made long-tailed: real images, no download, minutes on two CPU cores.

Aims at no row of the paper; it shows the comparison of its Tables 4 and 5 (SimCLR beside SDCLR) and its Figure 2 at a
size that a laptop can run. D_i has 120 .. 6 images of a class. Both methods have the same head here.

  python -m sdclr_jax.train --config=configs/sdclr_digits_lt.py --workdir=runs/digits/sdclr_1
  python -m sdclr_jax.train --config=configs/sdclr_digits_lt.py:simclr --workdir=runs/digits/simclr_1
  python -m sdclr_jax.evaluate --workdir=runs/digits/sdclr_1

Words: simclr (one branch), balanced (D_b), split=N (another draw of lists), seed=N, smoke.
"""

from ml_collections import ConfigDict

from trainlib.core.config import parse_words


def get_config(words: str = "") -> ConfigDict:
    known = {"method": ("sdclr", "simclr"), "balanced": False, "split": 1, "seed": 0, "smoke": False}
    given = parse_words(words, known)
    config = ConfigDict()
    config.seed = given["seed"]
    config.platform = "any"

    config.dataset = "digits"
    config.data_path = ""
    config.lists = ""
    config.split = given["split"]
    config.balanced = given["balanced"]
    config.train_limit = 0

    config.view_size = 8
    config.view_area = (0.5, 1.0)
    config.view_flip = 0.0
    config.view_jitter = 0.8
    config.view_strengths = (0.4, 0.4, 0.0, 0.0)
    config.view_gray = 0.0
    config.view_blur = 0.0

    config.backbone = "resnet32_s"
    config.stem = "cifar"
    config.head_layers = 3
    config.projection_size = 64
    config.dtype = "float32"

    config.prune_fraction = 0.9 if given["method"] == "sdclr" else 0.0
    config.prune_random_fraction = 0.0
    config.dual_batchnorm = True
    config.prune_bn_updates = 2
    config.temperature = 0.2
    config.temperature_cycle = ()

    config.epochs = 40
    config.warmup_epochs = 4
    config.max_steps = 0
    config.batch_size = 128
    config.drop_last = False
    config.optimizer = "sgd"
    config.learning_rate = 0.5
    config.momentum = 0.9
    config.weight_decay = 1e-4

    config.log_every = 8
    config.forgetting_every_epochs = 2
    config.save_every_epochs = 10
    config.keep_checkpoints = 2

    config.probe_crop = "none"
    config.feature_batch_size = 512
    config.probe_batch_size = 128
    config.probe_learning_rate = 30.0
    config.probe_decay_before_epoch = True
    config.probe_full_epochs = 30
    config.probe_full_decays = (10, 20)
    config.probe_full_validate_every = 1
    config.probe_few_epochs = 100
    config.probe_few_decays = (40, 60)
    config.probe_few_validate_every = 5
    config.probe_select_top = 1
    config.probe_limit = 0
    config.knn_neighbours = 20
    config.groups = "rank"

    if given["smoke"]:
        config.epochs = 2
        config.warmup_epochs = 1
        config.train_limit = 64
        config.batch_size = 32
        config.log_every = 1
        config.forgetting_every_epochs = 1
        config.save_every_epochs = 1
        config.probe_full_epochs = 3
        config.probe_few_epochs = 5
    return config
