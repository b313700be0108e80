"""VMNet on any folder of labelled meshes, `NAME.ply` beside `NAME.labels.ply`; any number of classes.

Aims at no row of the paper. The classes are those of the label map that preprocessing wrote; the split is automatic
(a fifth for validation) unless `train_list` and `val_list` name two files. Words: `shape` for meshes without colours in
any orientation (constant and normals as input, rotations in all directions), `smoke` for a one-minute run.

  python -m preprocess.scenes --input=MESHES --output=data/meshes/scenes --label_map=auto
  python -m vmnet_jax.train --config=configs/vmnet_meshes.py --workdir=runs/meshes
  python -m vmnet_jax.predict --workdir=runs/meshes --mesh=NEW.ply --output=runs/meshes/predicted
"""

from ml_collections import ConfigDict

from trainlib.core.config import parse_words


def get_config(words: str = "") -> ConfigDict:
    given = parse_words(words, known={"shape": False, "smoke": False})
    config = ConfigDict()
    config.seed = 0
    config.platform = "any"

    config.scenes = "data/meshes/scenes"
    config.train_list = ""
    config.val_list = ""
    config.val_fraction = 0.2
    config.features = ("rgb",)
    config.rotation = "z"
    config.edge_cutoff = 4

    config.batch_size = 2
    config.max_voxels = 0  # larger scenes are cropped in training and tiled in evaluation; 0: no limit
    config.max_buckets = 3
    config.loader_threads = 2
    config.cache_gib = 4.0

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
    config.read_out = "interpolated"  # along the surface to the file's vertices; or trace
    config.dtype = "float32"
    config.init_from = ""
    config.heads_only = False

    config.num_steps = 2_000
    config.learning_rate = 0.1
    config.momentum = 0.9
    config.dampening = 0.1
    config.weight_decay = 1e-4
    config.class_weights = ()

    config.log_every = 20
    config.eval_every = 500
    config.save_every = 200
    config.keep_checkpoints = 3

    if given["shape"]:
        config.features = ("ones", "normals")
        config.rotation = "so3"
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
