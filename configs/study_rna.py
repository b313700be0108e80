"""Voxels, surface, or both: VMNet's first ablation on molecular surfaces (97 of 5S ribosomal RNA), one seed.

One class a nucleotide, no colours, any orientation; 77 surfaces for training, 20 for validation. Half of the published
widths, 600 steps of one surface. RNA is the folder of the meshes with train.txt and val.txt (docs/vmnet.md):

  python -m preprocess.scenes --input=RNA --output=runs/study_rna/scenes --units=angstrom --cells=1,2 --voxel_size=1 \
      --label_map=auto --ring_width=8
  cp RNA/train.txt RNA/val.txt runs/study_rna/
  python -m vmnet_jax.study --config=configs/study_rna.py

Words: `smoke` for a few steps of tiny networks.
"""

from ml_collections import ConfigDict

from trainlib.core.config import parse_words
from vmnet_jax.default_config import HALF_WIDTH

COMMON = (
    "seed={seed}",
    "scenes=runs/study_rna/scenes",
    "train_list=runs/study_rna/train.txt",
    "val_list=runs/study_rna/val.txt",
    "keep_checkpoints=1",
)
SMALL = ("batch_size=1", "max_buckets=1", "num_steps=600", "eval_every=0", *HALF_WIDTH)


def get_config(words: str = "") -> ConfigDict:
    given = parse_words(words, known={"smoke": False})
    config = ConfigDict()
    config.title = "5S ribosomal RNA, validation"
    config.seeds = (0,)
    base = f"configs/vmnet_meshes.py:shape{',smoke' if given['smoke'] else ''}"
    settings = COMMON if given["smoke"] else (*COMMON, *SMALL)
    config.variants = (
        ("euc_only", base, (*settings, "model=euclidean")),
        ("geo_only", base, (*settings, "model=geodesic")),
        ("both", base, settings),
    )
    figures = {"euc_only": 71.0, "geo_only": 58.1, "both": 73.3}
    config.paper = ConfigDict({"title": "Paper (IoU, ScanNet)", "figures": figures})
    return config
