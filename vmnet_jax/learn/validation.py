"""The validation scenes of a training, scored by the state as it is."""

from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from trainlib.run import processes
from trainlib.run.loop import Measurement
from vmnet_jax.data.scenes import EvaluationBatches, SceneFolder
from vmnet_jax.data.tiling import TileSet
from vmnet_jax.learn.build import build_model, sample_settings
from vmnet_jax.learn.inference import evaluate_scenes, make_forward
from vmnet_jax.learn.metrics import accuracy, iou_from_confusion
from vmnet_jax.learn.step import TrainState
from vmnet_jax.prediction.read_out import read_out_of


def validation(config: ConfigDict, scenes: SceneFolder, names: list[str]) -> Measurement:
    """Mean IoU and accuracy over the validation scenes, one pass each; every process takes its share of the scenes."""
    num_classes = len(scenes.label_map.names)
    share = _share_evaluation(config, scenes, names[processes.index() :: processes.count()], num_classes)

    def evaluate(state: TrainState) -> dict[str, float]:
        table = np.sum(processes.all_gather_json(share(state).tolist()), axis=0)
        return {"val/mean_iou": iou_from_confusion(table)[1], "val/accuracy": accuracy(table)}

    every = config.eval_every or config.num_steps
    return Measurement("the evaluation", evaluate, every, "val/mean_iou", score="val/mean_iou")


def _share_evaluation(
    config: ConfigDict, scenes: SceneFolder, names: list[str], num_classes: int
) -> Callable[[TrainState], np.ndarray]:
    """evaluate(state) -> confusion int64 [K predicted, K true] over these scenes."""
    if not names:
        return lambda state: np.zeros((num_classes, num_classes), np.int64)
    tiles = TileSet(scenes, names, config.max_voxels, "config.max_voxels")
    batches = EvaluationBatches(tiles, tiles.names, max_buckets=2, **sample_settings(config))
    forward, read_out = make_forward(build_model(config, num_classes)), read_out_of(config)

    def evaluate(state: TrainState) -> np.ndarray:
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        return evaluate_scenes(forward, variables, batches, tiles, scenes, num_classes, read_out=read_out)

    return evaluate
