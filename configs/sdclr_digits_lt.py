"""SDCLR on scikit-learn's handwritten digits, made long-tailed: real images, no download, minutes on two CPU cores.

Aims at no row of the paper; it shows the comparison of its Tables 4 and 5 (SimCLR next to SDCLR) and its Figure 2 at a
size that a laptop can run. D_i has 120 .. 6 images of a class. Both methods have the same head here.

  python -m sdclr_jax.train --config=configs/sdclr_digits_lt.py --workdir=runs/digits/sdclr_1
  python -m sdclr_jax.train --config=configs/sdclr_digits_lt.py:simclr --workdir=runs/digits/simclr_1
  python -m sdclr_jax.evaluate --workdir=runs/digits/sdclr_1

Words: simclr (one branch), balanced (D_b), split=N (another draw of lists), seed=N, smoke.
"""

from ml_collections import ConfigDict

from sdclr_jax.default_config import SMOKE, default_config
from trainlib.core.config import parse_words


def get_config(words: str = "") -> ConfigDict:
    known = {"method": ("sdclr", "simclr"), "balanced": False, "split": 1, "seed": 0, "smoke": False}
    given = parse_words(words, known)
    config = default_config()
    config.update(dataset="digits", lists="", split=given["split"], balanced=given["balanced"], seed=given["seed"])
    config.update(view_size=8, view_area=(0.5, 1.0), view_flip=0.0, view_strengths=(0.4, 0.4, 0.0, 0.0), view_gray=0.0)
    config.update(backbone="resnet32_s", projection_size=64)
    config.update(epochs=40, warmup_epochs=4, batch_size=128)
    config.update(log_every=8, forgetting_every_epochs=2, save_every_epochs=10)
    config.update(probe_crop="none", feature_batch_size=512, knn_neighbours=20)
    if given["method"] == "simclr":
        config.prune_fraction = 0.0
    if given["smoke"]:
        config.update(SMOKE, feature_batch_size=512, probe_full_epochs=3, probe_few_epochs=5, probe_limit=0)
    return config
