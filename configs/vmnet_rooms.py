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


def get_config(words: str = "") -> ConfigDict:
    given = parse_words(words, known={"smoke": False})
    config = ConfigDict()
    config.seed = 0
    config.platform = "any"

    config.scenes = "runs/demo/rooms/scenes"
    config.train_list = "runs/demo/rooms/meshes/train.txt"
    config.val_list = "runs/demo/rooms/meshes/val.txt"
    config.val_fraction = 0.2
    config.features = ("rgb",)
    config.rotation = "z"
    config.edge_cutoff = 4

    config.batch_size = 2
    config.max_voxels = 0  # larger scenes are cropped in training and tiled in evaluation; 0: no limit
    config.max_buckets = 1
    config.loader_threads = 2
    config.cache_gib = 4.0

    config.model = "vmnet"  # or euclidean, geodesic, baseline, baseline_intra, dcm: docs/studies.md
    config.operator = "scalar"  # or vector, edgeconv
    config.widths = (32, 64, 96, 128, 160, 192, 224)
    config.geo_width = 32
    config.dcm_geo_widths = (48, 48, 24, 24)
    config.dcm_euc_widths = (16, 16, 72, 72)
    config.dcm_radii = (0.16, 0.32, 0.64, 1.28)  # in the scenes' unit
    config.dcm_neighbours = 16
    config.layer_norm_scope = "scene"
    config.attention_shift = "vertex"
    config.read_out = "interpolated"  # along the surface to the file's vertices; or trace
    config.dtype = "float32"
    config.init_from = ""
    config.heads_only = False

    config.num_steps = 500
    config.learning_rate = 0.1
    config.momentum = 0.9
    config.dampening = 0.1
    config.weight_decay = 1e-4
    config.class_weights = ()

    config.log_every = 20
    config.eval_every = 0
    config.save_every = 200
    config.keep_checkpoints = 2

    if given["smoke"]:
        config.num_steps = 4
        config.widths = (8, 8, 8, 8, 8, 8, 8)
        config.geo_width = 8
        config.log_every = 1
        config.save_every = 2
    return config
