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
whole training list of ImageNet; --limit shortens it. Needs the images of ImageNet and the lists: docs/sdclr/paper.md.

  python -m sdclr_jax.train --config=configs/sdclr_imagenet_lt.py:simclr \
      --config.data_path=DIR --config.lists=DIR --workdir=runs/imagenet/simclr
  python -m sdclr_jax.evaluate --workdir=runs/imagenet/simclr

Words: simclr (one branch, head of two layers, temperature 0.2), pareto or exp (which long tail), balanced (D_b), smoke.
"""

from ml_collections import ConfigDict

from sdclr_jax.default_config import IMAGE_FILES, IMAGENET, SMOKE, SMOKE_IMAGE_FILES, default_config
from trainlib.core.config import parse_words

LONG_TAILS = {"imbalanced": "LT", "balanced": "BL"}
LISTS = {
    "list_few": "imageNet_sub_balance_train_0.01.txt",
    "list_full": "ImageNet_train.txt",
    "list_val": "ImageNet_LT_val.txt",
    "list_test": "ImageNet_LT_test.txt",
}


def get_config(words: str = "") -> ConfigDict:
    known = {"method": ("sdclr", "simclr"), "profile": ("pareto", "exp"), "balanced": False, "smoke": False}
    given = parse_words(words, known)
    config = default_config()
    config.update(dataset="imagenet", lists="", balanced=given["balanced"], seed=1)
    prefix = "imageNet_{}_exp" if given["profile"] == "exp" else "ImageNet_{}"
    config.update({f"list_{kind}": prefix.format(name) + "_train.txt" for kind, name in LONG_TAILS.items()})
    config.update(LISTS)
    config.update({**IMAGE_FILES, **IMAGENET}, log_every=50)
    if given["method"] == "simclr":
        config.update(prune_fraction=0.0, head_layers=2, temperature=0.2)
    if given["smoke"]:
        config.update({**SMOKE, **SMOKE_IMAGE_FILES})
        config.probe_limit = 2000
    return config
