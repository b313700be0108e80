"""VMNet on any folder of labelled meshes, `NAME.ply` next to `NAME.labels.ply`; any number of classes.

Aims at no row of the paper. The classes are those of the label map that preprocessing wrote; the split is automatic
(a fifth for validation) unless `train_list` and `val_list` name two files. Words: `shape` for meshes without colours in
any orientation (constant and normals as input, rotations in all directions), `smoke` for a one-minute run.

  python -m preprocess.scenes --input=MESHES --output=data/meshes/scenes --label_map=auto
  python -m vmnet_jax.train --config=configs/vmnet_meshes.py --workdir=runs/meshes
  python -m vmnet_jax.predict --workdir=runs/meshes --mesh=NEW.ply --output=runs/meshes/predicted
"""

from ml_collections import ConfigDict

from trainlib.core.config import parse_words
from vmnet_jax.default_config import SMOKE, default_config


def get_config(words: str = "") -> ConfigDict:
    given = parse_words(words, known={"shape": False, "smoke": False})
    config = default_config()
    config.scenes = "data/meshes/scenes"
    config.update(batch_size=2, max_buckets=3, loader_threads=2, cache_gib=4.0)
    config.read_out = "interpolated"
    config.update(num_steps=2_000, log_every=20, eval_every=500, save_every=200)
    if given["shape"]:
        config.update(features=("ones", "normals"), rotation="so3")
    if given["smoke"]:
        config.update(SMOKE, batch_size=1)
    return config
