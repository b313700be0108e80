"""SDCLR on CIFAR-100-LT: ResNet-18, imbalance 100, as published (Jiang et al., ICML 2021).

Aims at the CIFAR100 rows of the paper's Table 4 (linear separability) and Table 5 (few-shot), mean and deviation over
the splits 1 .. 5:

              Many          Medium        Few           Std           All
  T4 SimCLR   50.10 ± 1.70  47.78 ± 1.46  43.36 ± 1.64  3.09 ± 0.85  47.11 ± 0.34
  T4 SDCLR    58.54 ± 0.82  55.70 ± 1.44  52.10 ± 1.72  2.86 ± 0.69  55.48 ± 0.62
  T5 SimCLR   30.72 ± 2.01  21.93 ± 2.61  15.99 ± 1.51  6.27 ± 1.20  22.96 ± 0.43
  T5 SDCLR    29.72 ± 1.52  25.41 ± 1.91  20.55 ± 2.10  3.98 ± 0.98  25.27 ± 0.83

With simclr,balanced the run aims at the D_b rows of Tables 1 and 2. 9,754 images, 20 steps an epoch, 40,000 steps a
run: made for a GPU. Needs the official binary files and, for the published splits, the authors' lists:
docs/sdclr.md tells where they lie.

  python -m sdclr_jax.train --config=configs/sdclr_cifar100_lt.py:split=1 \
      --config.data_path=DIR --config.lists=DIR --workdir=runs/cifar100/sdclr_1
  python -m sdclr_jax.evaluate --workdir=runs/cifar100/sdclr_1

Words: simclr (one branch), balanced (D_b), split=N (1 .. 5), smoke. The published SimCLR has a head of two layers,
SDCLR one of three; --config.head_layers=3 gives SimCLR the same head. With `lists` empty the lists are drawn from the
split's number by the authors' rules.
"""

from ml_collections import ConfigDict

from trainlib.core.config import parse_words


def get_config(words: str = "") -> ConfigDict:
    known = {"method": ("sdclr", "simclr"), "balanced": False, "split": 1, "smoke": False}
    given = parse_words(words, known)
    config = ConfigDict()
    config.seed = 10
    config.platform = "any"

    config.dataset = "cifar100"
    config.data_path = ""
    config.lists = ""
    config.split = given["split"]
    config.balanced = given["balanced"]
    config.train_limit = 0

    config.view_size = 32
    config.view_area = (0.1, 1.0)
    config.view_flip = 0.5
    config.view_jitter = 0.8
    config.view_strengths = (0.4, 0.4, 0.4, 0.1)
    config.view_gray = 0.2
    config.view_blur = 0.0

    config.backbone = "resnet18"
    config.stem = "cifar"
    config.head_layers = 3 if given["method"] == "sdclr" else 2
    config.projection_size = 128
    config.dtype = "float32"

    config.prune_fraction = 0.9 if given["method"] == "sdclr" else 0.0
    config.prune_random_fraction = 0.0
    config.dual_batchnorm = True
    config.prune_bn_updates = 2
    config.temperature = 0.2
    config.temperature_cycle = ()

    config.epochs = 2000
    config.warmup_epochs = 10
    config.max_steps = 0
    config.batch_size = 512
    config.drop_last = False
    config.optimizer = "sgd"
    config.learning_rate = 0.5
    config.momentum = 0.9
    config.weight_decay = 1e-4

    config.log_every = 20
    config.forgetting_every_epochs = 50
    config.save_every_epochs = 100
    config.keep_checkpoints = 2

    config.probe_crop = "padded"
    config.feature_batch_size = 1024
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
    config.knn_neighbours = 200
    config.groups = "rank"

    if given["smoke"]:
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
        config.probe_limit = 1000
        config.knn_neighbours = 20
    return config
