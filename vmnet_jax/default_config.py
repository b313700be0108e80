"""Every setting of a VMNet run, with the paper's values; `vmnet_jax.settings` has the ranges of values."""

from ml_collections import ConfigDict

SMOKE = {
    "num_steps": 4,
    "max_buckets": 1,
    "widths": (8, 8, 8, 8, 8, 8, 8),
    "geo_width": 8,
    "log_every": 1,
    "eval_every": 0,
    "save_every": 2,
}
"""Overrides of the word `smoke`: a one-minute run of a tiny network."""

MARKS = ("max_buckets", "num_steps")
"""Settings that every config of this system has, and no other."""

HALF_WIDTH = ("widths=(16, 32, 48, 64, 80, 96, 112)", "geo_width=16")
"""Settings of a study: half of the published widths."""


def default_config() -> ConfigDict:
    """The settings of the paper (Hu et al., ICCV 2021), for ScanNet; a file in configs/ overrides what differs."""
    config = ConfigDict()
    config.seed = 0  # of the weights, the order of the scenes and their placements
    config.platform = "any"  # or cpu, gpu, tpu: the run refuses to start elsewhere

    config.scenes = ""  # folder of scene files or of a TFDS data set
    config.train_list = ""  # file with one scene name per line; with both lists "", val_fraction splits
    config.val_list = ""  # the same for validation
    config.val_fraction = 0.2  # share of the scenes that validates, without lists
    config.features = ("rgb",)  # inputs of a voxel: rgb, normals, xyz, ones
    config.rotation = "z"  # random rotations in training: about the up axis, or so3: in all directions
    config.edge_cutoff = 4  # vertices with more neighbours lose some of their edges at random in training

    config.batch_size = 8  # scenes per step, over all devices
    config.max_voxels = 0  # larger scenes are cropped in training and tiled in evaluation; 0: no limit
    config.max_buckets = 8  # padded sizes, each compiled once
    config.loader_threads = 8  # that read scenes and build batches
    config.cache_gib = 16.0  # host memory for scenes that have been read

    config.model = "vmnet"  # or euclidean, geodesic, baseline, baseline_intra, dcm: docs/studies.md
    config.operator = "scalar"  # attention of the paper; or vector, edgeconv
    config.widths = (32, 64, 96, 128, 160, 192, 224)  # channels of the voxel branch, level 0 first
    config.geo_width = 32  # channels of the mesh branch
    config.dcm_geo_widths = (48, 48, 24, 24)  # DCM-Net: channels of geodesic convolutions, level 0 first
    config.dcm_euc_widths = (16, 16, 72, 72)  # and of Euclidean ones
    config.dcm_radii = (0.12, 0.25, 0.5, 1.0)  # of the Euclidean neighbourhoods, in the scenes' unit
    config.dcm_neighbours = 16  # the most of a Euclidean neighbourhood
    config.layer_norm_scope = "scene"  # or batch, as the original program
    config.attention_shift = "vertex"  # or global, as the original program
    config.read_out = "trace"  # as the original: a vertex takes its level-0 vertex; or interpolated along the surface
    config.dtype = "float32"  # of the computation; or bfloat16
    config.init_from = ""  # folder of a run whose weights are the start
    config.heads_only = False  # train the classifiers alone

    config.num_steps = 80_001  # of the whole run
    config.learning_rate = 0.1  # falls to 0 with the power 0.9
    config.momentum = 0.9  # of SGD, as in torch
    config.dampening = 0.1  # a gradient enters the momentum with the factor 1 - dampening
    config.weight_decay = 1e-4  # this times the weights is added to their gradient
    config.class_weights = ()  # of the loss, one per class; (): all 1

    config.log_every = 50  # steps, and after 1, 2, 5 and 10; 0: never
    config.eval_every = 4_000  # steps between validations; 0: at the end alone
    config.save_every = 500  # steps between checkpoints; 0: at the end alone
    config.keep_checkpoints = 3  # the newest ones, next to the best
    return config
