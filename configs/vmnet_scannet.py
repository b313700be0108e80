"""VMNet on ScanNet v2 with the paper's settings; its row: mean IoU 73.3 on val, 74.6 on test (tables 1 and 4).

Cost: 80,001 steps of 8 scenes; a few days on one large GPU. Words: `smoke` makes it a one-minute run of a tiny network.

  python -m preprocess.scenes --input=data/scannet/scans --output=data/scannet/scenes
  python -m vmnet_jax.train --config=configs/vmnet_scannet.py --workdir=runs/scannet
  python -m vmnet_jax.evaluate --workdir=runs/scannet --votes=8

The two lists are ScanNet's own (scannetv2_train.txt, scannetv2_val.txt).
"""

from ml_collections import ConfigDict

from trainlib.core.config import parse_words
from vmnet_jax.default_config import SMOKE, default_config


def get_config(words: str = "") -> ConfigDict:
    given = parse_words(words, known={"smoke": False})
    config = default_config()
    config.scenes = "data/scannet/scenes"
    config.train_list = "data/scannet/scannetv2_train.txt"
    config.val_list = "data/scannet/scannetv2_val.txt"
    if given["smoke"]:
        config.update(SMOKE, batch_size=1)
    return config
