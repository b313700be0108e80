"""The validation of a training run: every scene once, by the network as it is."""

import numpy as np
from ml_collections import ConfigDict

from trainlib.run import processes
from trainlib.run.loop import Measurement
from vmnet_jax.data.scenes import EvaluationBatches, SceneFolder
from vmnet_jax.data.tiling import TileSet
from vmnet_jax.learn.inference import evaluate_scenes, network_forward
from vmnet_jax.learn.metrics import accuracy, iou_from_confusion
from vmnet_jax.learn.network_settings import sample_settings
from vmnet_jax.learn.step import TrainState
from vmnet_jax.prediction.read_out import read_out_of


def validation(config: ConfigDict, scenes: SceneFolder, names: list[str]) -> Measurement:
    """Mean IoU and accuracy over the validation scenes, one pass each; every process takes its share of the scenes."""
    num_classes, share = len(scenes.label_map.names), names[processes.index() :: processes.count()]
    if share:
        tiles = TileSet(scenes, share, config.max_voxels, "config.max_voxels")
        batches = EvaluationBatches(tiles, tiles.names, max_buckets=2, **sample_settings(config))
        forward, read_out = network_forward(config, num_classes), read_out_of(config)

    def evaluate(state: TrainState) -> dict[str, float]:
        table = np.zeros((num_classes, num_classes), np.int64)
        if share:
            variables = {"params": state.params, "batch_stats": state.batch_stats}
            table = evaluate_scenes(forward, variables, batches, tiles, num_classes, read_out=read_out)
        table = np.sum(processes.all_gather_json(table.tolist()), axis=0)
        return {"val/mean_iou": iou_from_confusion(table)[1], "val/accuracy": accuracy(table)}

    every = config.eval_every or config.num_steps
    return Measurement("the evaluation", evaluate, every, "val/mean_iou", score="val/mean_iou")
