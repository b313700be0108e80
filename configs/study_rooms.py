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

BASE = "configs/vmnet_rooms.py"
SMALL = (
    "seed={seed}",
    "batch_size=1",
    "num_steps=160",
    "widths=(16, 32, 48, 64, 80, 96, 112)",
    "geo_width=16",
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


def get_config(words: str = "") -> ConfigDict:
    given = parse_words(words, known={"smoke": False})
    config = ConfigDict()
    config.title = "Synthetic rooms, validation"
    config.seeds = (0, 1, 2)
    config.variants = (
        ("euc_only", BASE, (*BOTH, "model=euclidean")),
        ("geo_only", BASE, (*BOTH, "model=geodesic")),
        ("baseline", BASE, (*BOTH, "model=baseline")),
        ("+intra", BASE, (*BOTH, "model=baseline_intra")),
        ("+intra+inter", BASE, BOTH),
        ("vector", BASE, (*BOTH, "operator=vector")),
        ("edgeconv", BASE, (*BOTH, "operator=edgeconv")),
        ("vc", BASE, (*SMALL, "scenes=runs/study_rooms/vc")),
        ("qem", BASE, (*SMALL, "scenes=runs/study_rooms/qem")),
        ("dcm", BASE, (*BOTH, *DCM)),
    )
    config.paper = ConfigDict()
    config.paper.title = "Paper (IoU)"
    config.paper.figures = {
        "euc_only": 71.0,
        "geo_only": 58.1,
        "baseline": 70.2,
        "+intra": 72.1,
        "+intra+inter": 73.3,
        "vector": 72.3,
        "edgeconv": 72.6,
        "vc": 72.3,
        "qem": 72.9,
    }
    if given["smoke"]:
        base = f"{BASE}:smoke"
        tiny = ("seed={seed}", "scenes=runs/study_rooms/vc+qem", "keep_checkpoints=1")
        config.seeds = (0, 1)
        config.variants = (
            ("euc_only", base, (*tiny, "model=euclidean")),
            ("geo_only", base, (*tiny, "model=geodesic")),
        )
    return config
