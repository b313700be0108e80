"""VMNet's ablations (tables 4 and 5 of the paper) and DCM-Net on the synthetic rooms of the demo, three seeds.

The published figures are mean IoU on ScanNet's validation scenes. Here all networks have half of the published widths
(DCM-Net a quarter) and see 160 scenes, one a step, so that a run takes at most 90 s on two CPU cores. docs/studies.md
tells what each variant is. Meshes as `make demo-vmnet` makes them, then three hierarchies; ring tables of 8 slots,
since the operators work on every slot:

  python -m preprocess.rooms --output=runs/demo/rooms/meshes --count=48 --seed=0 --prefix=train
  python -m preprocess.rooms --output=runs/demo/rooms/meshes --count=8 --seed=1000 --prefix=val
  for h in vc qem vc+qem; do python -m preprocess.scenes --input=runs/demo/rooms/meshes --output=runs/study_rooms/$h \
      --hierarchy=$h --cells=0.08,0.16 --voxel_size=0.08 --ring_width=8; done
  python -m vmnet_jax.study --config=configs/study_rooms.py

Words: `smoke` for two variants, two seeds, a few steps of tiny networks.
"""

from ml_collections import ConfigDict

from trainlib.core.config import parse_words
from vmnet_jax.default_config import HALF_WIDTH

BASE = "configs/vmnet_rooms.py"
SMALL = (
    "seed={seed}",
    "batch_size=1",
    "num_steps=160",
    *HALF_WIDTH,
    "keep_checkpoints=1",
)
BOTH = (*SMALL, "scenes=runs/study_rooms/vc+qem")
DCM = (
    "model=dcm",
    "features=('xyz', 'rgb', 'normals')",
    "edge_cutoff=10",
    "dcm_geo_widths=(12, 12, 6, 6)",
    "dcm_euc_widths=(4, 4, 18, 18)",
    "dcm_neighbours=8",
)
VARIANTS = {
    "euc_only": (71.0, (*BOTH, "model=euclidean")),
    "geo_only": (58.1, (*BOTH, "model=geodesic")),
    "baseline": (70.2, (*BOTH, "model=baseline")),
    "+intra": (72.1, (*BOTH, "model=baseline_intra")),
    "+intra+inter": (73.3, BOTH),
    "vector": (72.3, (*BOTH, "operator=vector")),
    "edgeconv": (72.6, (*BOTH, "operator=edgeconv")),
    "vc": (72.3, (*SMALL, "scenes=runs/study_rooms/vc")),
    "qem": (72.9, (*SMALL, "scenes=runs/study_rooms/qem")),
    "dcm": (None, (*BOTH, *DCM)),
}
"""The published IoU, or None, and the settings."""


def get_config(words: str = "") -> ConfigDict:
    given = parse_words(words, known={"smoke": False})
    config = ConfigDict()
    config.title = "Synthetic rooms, validation"
    config.seeds = (0, 1, 2)
    config.variants = tuple((name, BASE, settings) for name, (_, settings) in VARIANTS.items())
    figures = {name: published for name, (published, _) in VARIANTS.items() if published is not None}
    config.paper = ConfigDict({"title": "Paper (IoU)", "figures": figures})
    if given["smoke"]:
        tiny = ("seed={seed}", "scenes=runs/study_rooms/vc+qem", "keep_checkpoints=1")
        config.seeds = (0, 1)
        config.variants = tuple(
            (name, f"{BASE}:smoke", (*tiny, f"model={model}"))
            for name, model in (("euc_only", "euclidean"), ("geo_only", "geodesic"))
        )
    return config
