"""SDCLR on ImageNet-100-LT: ResNet-50, 100 classes of 1280 .. 6 images, as published (Jiang et al., ICML 2021).

Aims at the ImageNet-100-LT rows of the paper's Table 4 (linear separability) and Table 5 (few-shot), one run each:

              Many   Medium  Few    Std   All
  T4 SimCLR   69.54  63.71   59.69  4.04  65.46
  T4 SDCLR    70.10  65.04   60.92  3.75  66.48
  T5 SimCLR   48.36  39.00   35.23  5.52  42.16
  T5 SDCLR    48.31  39.17   36.46  5.07  42.38

With simclr,balanced the run aims at the D_b row of Table 3. 48 steps an epoch, 24,000 steps a run: made for GPUs.
Needs the images of ImageNet and the authors' lists: docs/sdclr/paper.md names them and the one that is missing.

  python -m sdclr_jax.train --config=configs/sdclr_imagenet100_lt.py \
      --config.data_path=DIR --config.lists=DIR --workdir=runs/imagenet100/sdclr
  python -m sdclr_jax.evaluate --workdir=runs/imagenet100/sdclr

Words: simclr (one branch, head of two layers, temperature 0.2), balanced (D_b), smoke.
"""

from ml_collections import ConfigDict

from sdclr_jax.default_config import IMAGE_FILES, IMAGENET, SMOKE, SMOKE_IMAGE_FILES, default_config
from trainlib.core.config import parse_words

LISTS = {
    "list_imbalanced": "imageNet_100_LT_train.txt",
    "list_balanced": "imageNet_100_BL_train.txt",
    "list_few": "imageNet_100_sub_balance_train_0.01.txt",
    "list_full": "ImageNet_100_train.txt",
    "list_val": "ImageNet_100_val.txt",
    "list_test": "ImageNet_100_test.txt",
}


def get_config(words: str = "") -> ConfigDict:
    given = parse_words(words, {"method": ("sdclr", "simclr"), "balanced": False, "smoke": False})
    config = default_config()
    config.update(dataset="imagenet100", lists="", balanced=given["balanced"], seed=1)
    config.update(LISTS)
    config.update({**IMAGE_FILES, **IMAGENET}, log_every=48)
    if given["method"] == "simclr":
        config.update(prune_fraction=0.0, head_layers=2, temperature=0.2)
    if given["smoke"]:
        config.update({**SMOKE, **SMOKE_IMAGE_FILES})
    return config
