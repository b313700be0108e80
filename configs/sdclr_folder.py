"""SDCLR on images of your own: a folder of image files, taken as they are or made long-tailed.

Aims at no row of the paper. `data_path` holds train/CLASS/* and test/CLASS/*, or CLASS/* alone, or images without class
folders, which can be trained on but not evaluated. The settings are between the paper's for CIFAR and for ImageNet, for
photographs at 96 x 96; `epochs`, `prune_fraction` and `temperature` are the first to look at.

  python -m sdclr_jax.train --config=configs/sdclr_folder.py --config.data_path=DIR --workdir=runs/folder/sdclr_1
  python -m sdclr_jax.evaluate --workdir=runs/folder/sdclr_1

Words: simclr (one branch), longtail=R (D_i is drawn from the images along the exponential profile, with R times as many
images in the largest class as in the smallest), balanced (D_b), split=N (another draw of lists), smoke. With another
`view_size` set `test_resize` (8/7 of it) and `canvas` (twice) too.
"""

from ml_collections import ConfigDict

from sdclr_jax.default_config import IMAGE_FILES, SMOKE, SMOKE_IMAGE_FILES, default_config
from trainlib.core.config import parse_words


def get_config(words: str = "") -> ConfigDict:
    known = {"method": ("sdclr", "simclr"), "longtail": 0.0, "balanced": False, "split": 1, "smoke": False}
    given = parse_words(words, known)
    config = default_config()
    config.update(
        dataset="folder", split=given["split"], balanced=given["balanced"], imbalance=given["longtail"], seed=1
    )
    config.update(IMAGE_FILES, canvas=192, test_resize=112, loader_threads=8, exif_orientation=True)
    config.update(view_size=96, view_area=(0.08, 1.0), stem="imagenet", prune_fraction=0.3)
    config.update(epochs=500, batch_size=256, log_every=20)
    config.update(probe_crop="resized", feature_batch_size=512, probe_batch_size=512, knn_neighbours=20)
    config.update(probe_full_validate_every=2, probe_few_validate_every=10)
    if given["method"] == "simclr":
        config.prune_fraction = 0.0
    if given["smoke"]:
        config.update({**SMOKE, **SMOKE_IMAGE_FILES})
    return config
