"""VMNet on ScanNet v2 with the paper's settings; its row: mean IoU 73.3 on val, 74.6 on test (tables 1 and 4).

Cost: 80,001 steps of 8 scenes; a few days on one large GPU. Words: `smoke` makes it a one-minute run of a tiny network.

  python -m preprocess.scenes --input=data/scannet/scans --output=data/scannet/scenes
  python -m vmnet_jax.train --config=configs/vmnet_scannet.py --workdir=runs/scannet
  python -m vmnet_jax.evaluate --workdir=runs/scannet --votes=8

The two lists are ScanNet's own (scannetv2_train.txt, scannetv2_val.txt).
"""

from ml_collections import ConfigDict

from trainlib.core.config import parse_words


def get_config(words: str = "") -> ConfigDict:
    given = parse_words(words, known={"smoke": False})
    config = ConfigDict()
    config.seed = 0
    config.platform = "any"

    config.scenes = "data/scannet/scenes"
    config.train_list = "data/scannet/scannetv2_train.txt"
    config.val_list = "data/scannet/scannetv2_val.txt"
    config.val_fraction = 0.2
    config.features = ("rgb",)
    config.rotation = "z"
    config.edge_cutoff = 4

    config.batch_size = 8
    config.max_voxels = 0  # larger scenes are cropped in training and tiled in evaluation; 0: no limit
    config.max_buckets = 8
    config.loader_threads = 8
    config.cache_gib = 16.0

    config.model = "vmnet"  # or euclidean, geodesic, baseline, baseline_intra, dcm: docs/studies.md
    config.operator = "scalar"  # or vector, edgeconv
    config.widths = (32, 64, 96, 128, 160, 192, 224)
    config.geo_width = 32
    config.dcm_geo_widths = (48, 48, 24, 24)
    config.dcm_euc_widths = (16, 16, 72, 72)
    config.dcm_radii = (0.12, 0.25, 0.5, 1.0)  # in the scenes' unit
    config.dcm_neighbours = 16
    config.layer_norm_scope = "scene"
    config.attention_shift = "vertex"
    config.read_out = "trace"  # as the original: a vertex takes its level-0 vertex; or interpolated
    config.dtype = "float32"
    config.init_from = ""
    config.heads_only = False

    config.num_steps = 80_001
    config.learning_rate = 0.1
    config.momentum = 0.9
    config.dampening = 0.1
    config.weight_decay = 1e-4
    config.class_weights = ()

    config.log_every = 50
    config.eval_every = 4_000
    config.save_every = 500
    config.keep_checkpoints = 3

    if given["smoke"]:
        config.num_steps = 4
        config.batch_size = 1
        config.max_buckets = 1
        config.widths = (8, 8, 8, 8, 8, 8, 8)
        config.geo_width = 8
        config.log_every = 1
        config.eval_every = 0
        config.save_every = 2
    return config
