"""Trains VMNet: python -m vmnet_jax.train --config=configs/NAME.py[:words] --workdir=DIR

The same command resumes an interrupted run, and the resumed run equals the uninterrupted one.
"""

import contextlib
import logging
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from trainlib.core.errors import UserError
from trainlib.run import parallel, processes
from trainlib.run.cadence import Progress, is_due
from trainlib.run.checkpoints import CheckpointStore
from trainlib.run.flags import allowed_changes, run_main, strict
from trainlib.run.memory import check_memory
from trainlib.run.metrics import open_metrics
from trainlib.run.prefetch import prefetch
from trainlib.run.saver import RunSaver, restore_newest
from trainlib.run.signals import StopRequest
from trainlib.run.window import MetricWindow
from trainlib.run.workdir import open_workdir, require_settings
from vmnet_jax.data.batching import Sizes, bucket_at
from vmnet_jax.data.scenes import Batch, EvaluationBatches, SceneFolder, TrainingBatches, read_split
from vmnet_jax.data.tiling import TileSet
from vmnet_jax.learn.build import build_model, build_optimizer, build_schedule, build_state, vertex_inputs
from vmnet_jax.learn.inference import evaluate_scenes, make_forward
from vmnet_jax.learn.metrics import accuracy, iou_from_confusion
from vmnet_jax.learn.restore import initial_weights, trained_params, write_inputs
from vmnet_jax.learn.step import TrainState, make_train_step
from vmnet_jax.prediction.read_out import read_out_of
from vmnet_jax.settings import check_config

_log = logging.getLogger(__name__)

_ALLOW_MISSING = flags.DEFINE_bool("allow_missing", False, "train without the listed scenes that are not on disk")

ADVICE = "Lower config.learning_rate, or look at these scenes with python -m preprocess.check."
SMALLER = "Lower config.batch_size or config.max_voxels, or preprocess with a larger --voxel_size and --cells."


def train_and_evaluate(config: ConfigDict, workdir: str | pathlib.Path) -> TrainState:
    """Trains to `config.num_steps`, resuming from the newest checkpoint of `workdir`; returns the final state."""
    workdir = pathlib.Path(workdir)
    require_settings(config, ("max_buckets", "num_steps"), "the config", "vmnet_jax")
    check_config(config)
    # How logits are read out changes no weights: runs from before the key continue.
    with open_workdir(workdir, config, (*allowed_changes(), "read_out")) as folder, StopRequest() as stop:
        with stop.busy("reading the scenes"):
            scenes = SceneFolder(config.scenes, config.cache_gib)
            missing = flags.FLAGS.is_parsed() and _ALLOW_MISSING.value
            split = read_split(scenes.path, config.train_list, config.val_list, config.val_fraction, missing)
            _log.info("%d training and %d validation scenes in %s", len(split.train), len(split.val), scenes.path)
            _check_classes(config, scenes)
            params = scenes.check(split.train + split.val, trained_params(workdir))
            folder.check_data({"train": scenes.sources(split.train), "val": scenes.sources(split.val)})
            batches = _training_batches(config, scenes, split.train)
            evaluate = _evaluation(config, scenes, split.val) if split.val else None
        with stop.busy("building the network"):
            state = build_state(config, len(scenes.label_map.names))
        with CheckpointStore(workdir / "checkpoints", keep=config.keep_checkpoints) as store:
            if processes.is_first():
                store.check_space(state)
            restored = restore_newest(store, state, strict())
            if restored is not None:
                state = restored
                _log.info("Resuming after step %d of %d", int(state.step), config.num_steps)
            elif config.heads_only and not config.init_from:
                _log.warning("config.heads_only without init_from: only the classifiers of a random network learn")
            elif config.init_from:
                state = initial_weights(config.init_from, state, scenes.label_map)
            folder.keep_config()
            if processes.is_first():
                write_inputs(workdir, params, scenes.label_map)
            return _run_loop(config, workdir, state, batches, evaluate, store, stop, len(scenes.label_map.names))


def _check_classes(config: ConfigDict, scenes: SceneFolder) -> None:
    """Raises UserError if there are fewer than two classes, or if the class weights are of other classes."""
    names, weights = scenes.label_map.names, config.class_weights
    if len(names) < 2:
        raise UserError(
            f"{scenes.path / 'label_map.csv'} has one class, {names[0]!r}: a network that learns it is always right "
            "and distinguishes nothing. Preprocess the meshes again with a --label_map of at least two classes."
        )
    if len(weights) not in (0, len(names)):
        raise UserError(
            f"config.class_weights has {len(weights)} weights, but {scenes.path / 'label_map.csv'} has {len(names)} "
            "classes; give a weight for each, in the map's order, or none"
        )
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or (len(weights) and not any(weights)):
        raise UserError(f"config.class_weights is {tuple(weights)}; weights are 0 or more, and one is above 0")


def _training_batches(config: ConfigDict, scenes: SceneFolder, names: list[str]) -> TrainingBatches:
    batches = TrainingBatches(
        scenes,
        names,
        batch_size=config.batch_size,
        devices=parallel.num_devices(),
        own=parallel.own(range(parallel.num_devices())),
        features=tuple(config.features),
        rotation=config.rotation,
        edge_cutoff=config.edge_cutoff,
        max_buckets=config.max_buckets,
        seed=config.seed,
        max_voxels=config.max_voxels,
        vertices=vertex_inputs(config),
    )
    sizes = "; ".join(f"{b.voxels[0]} voxels, {b.vertices[0]} vertices" for b in batches.buckets)
    _log.info("%d steps an epoch; buckets: %s", batches.steps_per_epoch, sizes)
    return batches


def _evaluation(config: ConfigDict, scenes: SceneFolder, names: list[str]) -> Callable[[TrainState], dict[str, float]]:
    """evaluate(replicated state) -> mean IoU and accuracy over the validation scenes, one pass each.

    Every process takes its share of the scenes.
    """
    num_classes = len(scenes.label_map.names)
    share = _share_evaluation(config, scenes, names[processes.index() :: processes.count()], num_classes)

    def evaluate(state: TrainState) -> dict[str, float]:
        table = np.sum(processes.all_gather_json(share(state).tolist()), axis=0)
        return {"val/mean_iou": iou_from_confusion(table)[1], "val/accuracy": accuracy(table)}

    return evaluate


def _share_evaluation(
    config: ConfigDict, scenes: SceneFolder, names: list[str], num_classes: int
) -> Callable[[TrainState], np.ndarray]:
    """evaluate(replicated state) -> confusion int64 [K predicted, K true] over these scenes."""
    if not names:
        return lambda state: np.zeros((num_classes, num_classes), np.int64)
    tiles = TileSet(scenes, names, config.max_voxels, "config.max_voxels")
    batches = EvaluationBatches(
        tiles,
        tiles.names,
        features=tuple(config.features),
        rotation=config.rotation,
        max_buckets=2,
        seed=config.seed,
        vertices=vertex_inputs(config),
    )
    forward, read_out = make_forward(build_model(config, num_classes)), read_out_of(config)

    def evaluate(state: TrainState) -> np.ndarray:
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        return evaluate_scenes(forward, variables, batches, tiles, scenes, num_classes, read_out=read_out)

    return evaluate


def _train_step(config: ConfigDict, num_classes: int) -> Callable:
    """The step of one run over all devices; the old state's memory is reused."""
    weights = jnp.asarray(config.class_weights, jnp.float32) if len(config.class_weights) else None
    model = build_model(config, num_classes, parallel.AXIS)
    step = make_train_step(model, build_optimizer(config), parallel.AXIS, weights, config.heads_only)
    return parallel.pmap_step(step, donate_argnums=(0,))


def _check_bucket(batch: Batch, planned: list[Sizes], train_step: Callable, state: TrainState, arrays: Any) -> None:
    """Compiles the step for a batch of a new bucket, and logs what it needs.

    The largest batch is taken to be the first that is larger than planned, and to grow as its rows at level 0.
    """
    bucket, largest = batch.bucket, bucket_at(len(planned), planned)
    if bucket not in planned:
        _log.info("A larger batch than planned, of the scenes %s: one more compilation", ", ".join(batch.names))
    size = f"{bucket.voxels[0]} voxels and {bucket.vertices[0]} vertices"
    growth = max(1.0, largest.voxels[0] / bucket.voxels[0], largest.vertices[0] / bucket.vertices[0])
    check_memory(train_step, state, arrays, what=size, remedy=SMALLER, growth=growth)


def _run_loop(config, workdir, state, batches, evaluate, store, stop, num_classes) -> TrainState:
    """From `state.step` to the end: train, log, save, evaluate."""
    train_step, schedule = _train_step(config, num_classes), build_schedule(config)
    start, total, threads = int(state.step), config.num_steps, config.loader_threads
    state, window, progress = parallel.replicate(state), MetricWindow(ADVICE), Progress(total, start)
    saver, compiled = RunSaver(store, window, stop, start, total), set()
    began = time.monotonic()
    if start >= total:
        _log.info("Nothing to do: the run has finished; config.num_steps is %d", total)
    with (
        open_metrics(workdir, start) as writer,
        prefetch(batches, start, total, workers=threads, depth=2 * threads) as loader,
        batches.agree,
    ):

        def validate(done: int) -> None:
            if not evaluate or not (done == total or is_due(done, config.eval_every, total)):
                return
            with saver.interruptible(done, state, f"the evaluation after step {done}"):
                values = evaluate(state)
            saver.score(done, values["val/mean_iou"])
            writer.write(done, values)
            _log.info("step %d  %s", done, "  ".join(f"{k} {v:.4f}" for k, v in values.items()))

        if processes.broadcast_from_first(start > 0 and not writer.has(start, "val/mean_iou")):
            validate(start)
        for step, batch in zip(range(start, total), loader):
            first, arrays = step == start, parallel.stack(batch.arrays)
            new = batch.bucket not in compiled
            with saver.interruptible(step, state, "compiling a step") if new else contextlib.nullcontext():
                if new:
                    _check_bucket(batch, batches.buckets, train_step, state, arrays)
                    compiled.add(batch.bucket)
                state, metrics = train_step(state, arrays)
            window.add(step, f"scenes {', '.join(batch.names)}", jax.tree.map(lambda x: x[0], metrics))
            done = step + 1
            if first:
                _log.info("First step after %.0f s", time.monotonic() - began)
                began, loader.waited_s, progress = time.monotonic(), 0.0, Progress(total, done)
            if is_due(done, config.log_every, total):
                values = {**window.close(), "learning_rate": float(schedule(step))}
                writer.write(done, values)
                _log.info("%s  %s", progress.line(done), "  ".join(f"{k} {v:.4g}" for k, v in values.items()))
            if done == total or is_due(done, config.save_every, total):
                saver.save(done, state)
            saver.stop_if_requested(done, state)
            validate(done)
        if total - start > 1:
            share = loader.waited_s / (time.monotonic() - began)
            _log.info("The devices waited for data %.1f %% of the time", 100 * share)
    return parallel.unreplicate(state)


if __name__ == "__main__":
    run_main(train_and_evaluate)
