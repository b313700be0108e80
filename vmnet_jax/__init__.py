"""VMNet: semantic segmentation of meshes by a voxel U-Net and attention along the mesh (Hu et al., ICCV 2021)."""

import pathlib

from trainlib.core.caches import prepare_caches
from trainlib.core.own_kernels import require_own_kernels

require_own_kernels(__name__)
prepare_caches(pathlib.Path(__file__).parent)

from kernels.lazy import door  # noqa: E402 - not before the check

_PLACES = {
    "VMNet": "model.vmnet",
    "Logits": "model.vmnet",
    "SceneBatch": "model.scene_batch",
    "Layer": "model.layers",
    "Linear": "model.layers",
    "load": "prediction.predictor",
    "Predictor": "prediction.predictor",
    "write_prediction": "prediction.files",
    "PreparedScenes": "data.tfds_builders",
    "train_and_evaluate": "commands.train",
}
__getattr__, __dir__ = door(__name__, _PLACES)
