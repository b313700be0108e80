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
docs/sdclr/paper.md says where to get them.

  python -m sdclr_jax.train --config=configs/sdclr_cifar100_lt.py:split=1 \
      --config.data_path=DIR --config.lists=DIR --workdir=runs/cifar100/sdclr_1
  python -m sdclr_jax.evaluate --workdir=runs/cifar100/sdclr_1

Words: simclr (one branch), balanced (D_b), split=N (1 .. 5), smoke. The published SimCLR has a head of two layers,
SDCLR one of three; --config.head_layers=3 gives SimCLR the same head. With `lists` empty the lists are drawn from the
split's number by the authors' rules.
"""

from ml_collections import ConfigDict

from sdclr_jax.default_config import cifar_config


def get_config(words: str = "") -> ConfigDict:
    return cifar_config("cifar100", words, {"log_every": 20}, smoke={"probe_limit": 1000})
