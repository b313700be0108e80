"""The demo: synthetic rooms at 8 cm, full-width network, a few minutes on two CPU cores.

Aims at no row of the paper; its measure is the mean IoU on unseen rooms against a logistic regression on colour and
height (`make demo` prints both).

  python -m preprocess.rooms --output=runs/demo/rooms/meshes --count=48 --seed=0 --prefix=train
  python -m preprocess.rooms --output=runs/demo/rooms/meshes --count=8 --seed=1000 --prefix=val
  python -m preprocess.scenes --input=runs/demo/rooms/meshes --output=runs/demo/rooms/scenes \
      --cells=0.08,0.16 --voxel_size=0.08
  python -m vmnet_jax.train --config=configs/vmnet_rooms.py --workdir=runs/demo/vmnet
"""

from ml_collections import ConfigDict

from trainlib.core.config import parse_words
from vmnet_jax.default_config import SMOKE, default_config


def get_config(words: str = "") -> ConfigDict:
    given = parse_words(words, known={"smoke": False})
    config = default_config()
    config.scenes = "runs/demo/rooms/scenes"
    config.train_list = "runs/demo/rooms/meshes/train.txt"
    config.val_list = "runs/demo/rooms/meshes/val.txt"
    config.update(batch_size=2, max_buckets=1, loader_threads=2, cache_gib=4.0)
    config.dcm_radii = (0.16, 0.32, 0.64, 1.28)
    config.read_out = "interpolated"
    config.update(num_steps=500, log_every=20, eval_every=0, save_every=200, keep_checkpoints=2)
    if given["smoke"]:
        config.update(SMOKE)
    return config
