"""SDCLR on CIFAR-10-LT: ResNet-18, imbalance 100, as published (Jiang et al., ICML 2021).

Aims at the CIFAR10 rows of the paper's Table 4 (linear separability) and Table 5 (few-shot), mean and deviation over
the splits 1 .. 5:

              Many          Medium        Few           Std           All
  T4 SimCLR   78.18 ± 4.18  76.23 ± 5.33  71.37 ± 7.07  5.13 ± 3.66  75.55 ± 0.66
  T4 SDCLR    86.44 ± 3.12  81.84 ± 4.78  76.23 ± 6.29  5.06 ± 3.91  82.00 ± 0.68
  T5 SimCLR   76.07 ± 3.88  67.97 ± 5.84  54.21 ± 10.24 9.80 ± 5.45  67.08 ± 2.15
  T5 SDCLR    76.57 ± 4.90  70.01 ± 7.88  62.79 ± 7.37  6.99 ± 5.20  70.47 ± 1.38

With simclr,balanced the run aims at the D_b rows of Tables 1 and 2. 11,165 images, 22 steps an epoch, 44,000 steps a
run: made for a GPU. Needs the official binary files and, for the published splits, the authors' lists:
docs/sdclr/paper.md says where to get them.

  python -m sdclr_jax.train --config=configs/sdclr_cifar10_lt.py:split=1 \
      --config.data_path=DIR --config.lists=DIR --workdir=runs/cifar10/sdclr_1
  python -m sdclr_jax.evaluate --workdir=runs/cifar10/sdclr_1

Words: simclr (one branch), balanced (D_b), split=N (1 .. 5), smoke. The published SimCLR has a head of two layers,
SDCLR one of three; --config.head_layers=3 gives SimCLR the same head. With `lists` empty the lists are drawn from the
split's number by the authors' rules.
"""

from ml_collections import ConfigDict

from sdclr_jax.default_config import cifar_config


def get_config(words: str = "") -> ConfigDict:
    return cifar_config("cifar10", words)
