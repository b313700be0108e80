"""Training: from a config and a folder to a trained network."""

import logging
import pathlib
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from preprocess.labels.label_map import LabelMap
from trainlib.run import parallel, processes
from trainlib.run.flags import allowed_changes
from trainlib.run.loop import Measurement, Schedule, TrainRun
from trainlib.run.memory import check_memory
from trainlib.run.prefetch import Prefetch
from trainlib.run.signals import StopRequest
from trainlib.run.workdir import open_workdir, require_settings
from vmnet_jax.data.batching import Sizes, bucket_at
from vmnet_jax.data.scenes import Batch, SceneFolder, TrainingBatches, read_split
from vmnet_jax.default_config import MARKS
from vmnet_jax.learn.build import build_model, build_optimizer, build_schedule, build_state
from vmnet_jax.learn.fine_tuning import initial_weights
from vmnet_jax.learn.network_settings import sample_settings
from vmnet_jax.learn.restore import trained_params, write_inputs
from vmnet_jax.learn.step import TrainState, make_train_step
from vmnet_jax.learn.validation import validation
from vmnet_jax.settings import check_classes, check_config

_log = logging.getLogger(__name__)

ADVICE = "Lower config.learning_rate, or look at these scenes with python -m preprocess.check."
SMALLER = "Lower config.batch_size or config.max_voxels, or preprocess with a larger --voxel_size and --cells."


def train_and_evaluate(config: ConfigDict, workdir: str | pathlib.Path, *, allow_missing: bool = False) -> TrainState:
    """Trains to `config.num_steps`, resuming from the newest checkpoint of `workdir`; returns the final state.

    Args:
        config: see `vmnet_jax.default_config`.
        workdir: folder of the run.
        allow_missing: train without the listed scenes that are not on disk.
    """
    workdir = pathlib.Path(workdir)
    require_settings(config, MARKS, "the config", "vmnet_jax")
    check_config(config)
    # How logits are read out changes no weights: runs from before the key continue.
    with open_workdir(workdir, config, (*allowed_changes(), "read_out")) as folder, StopRequest() as stop:
        with stop.busy("reading the scenes"):
            scenes = SceneFolder(config.scenes, config.cache_gib)
            split = read_split(scenes.path, config.train_list, config.val_list, config.val_fraction, allow_missing)
            _log.info("%d training and %d validation scenes in %s", len(split.train), len(split.val), scenes.path)
            check_classes(config, scenes.label_map, scenes.path)
            params = scenes.check(split.train + split.val, trained_params(workdir))
            folder.check_data({"train": scenes.sources(split.train), "val": scenes.sources(split.val)})
            batches = _training_batches(config, scenes, split.train)
            evaluation = validation(config, scenes, split.val) if split.val else None
        with stop.busy("building the network"):
            state = build_state(config, len(scenes.label_map.names))
        plan = Schedule(config.num_steps, config.log_every, config.save_every, config.keep_checkpoints)
        with TrainRun(folder, stop, state, plan, advice=ADVICE, rate=build_schedule(config)) as run:
            state = run.state if run.resumed else _initial_state(config, run.state, scenes.label_map)
            folder.keep_config()
            if processes.is_first():
                write_inputs(workdir, params, scenes.label_map)
            train_step = _train_step(config, len(scenes.label_map.names))
            return _loop(run, run.begin(state), train_step, batches, evaluation, workers=config.loader_threads)


def _loop(
    run: TrainRun,
    state: TrainState,
    train_step: Callable,
    batches: TrainingBatches,
    evaluation: Measurement | None,
    *,
    workers: int,
) -> TrainState:
    """Trains from the restored step to the end; returns the state on the host."""
    compiled = set()
    with Prefetch(batches, run.start, run.total, workers=workers, depth=2 * workers) as loader, batches.agree:
        run.measure_again(state, evaluation)
        for step, batch in run.steps(loader):
            arrays = parallel.stack(batch.arrays)
            with run.compiling(step, state, when=batch.bucket not in compiled):
                if batch.bucket not in compiled:
                    _check_bucket(batch, batches.buckets, train_step, state, arrays)
                    compiled.add(batch.bucket)
                state, metrics = train_step(state, arrays)
            run.finish(step, state, metrics, f"scenes {', '.join(batch.names)}")
            run.measure(step + 1, state, evaluation)
    return parallel.to_host(state)


def _initial_state(config: ConfigDict, state: TrainState, label_map: LabelMap) -> TrainState:
    """The random initial state, or with `config.init_from` one with another run's weights."""
    if config.init_from:
        return initial_weights(config.init_from, state, label_map)
    if config.heads_only:
        _log.warning("config.heads_only without init_from: only the classifiers of a random network learn")
    return state


def _training_batches(config: ConfigDict, scenes: SceneFolder, names: list[str]) -> TrainingBatches:
    batches = TrainingBatches(
        scenes,
        names,
        batch_size=config.batch_size,
        devices=parallel.num_devices(),
        own=parallel.own(range(parallel.num_devices())),
        edge_cutoff=config.edge_cutoff,
        max_buckets=config.max_buckets,
        max_voxels=config.max_voxels,
        **sample_settings(config),
    )
    sizes = "; ".join(f"{b.voxels[0]} voxels, {b.vertices[0]} vertices" for b in batches.buckets)
    _log.info("%d steps an epoch; buckets: %s", batches.steps_per_epoch, sizes)
    return batches


def _train_step(config: ConfigDict, num_classes: int) -> Callable:
    """The step of one run over all devices; the old state's memory is reused."""
    weights = jnp.asarray(config.class_weights, jnp.float32) if len(config.class_weights) else None
    model = build_model(config, num_classes, parallel.AXIS)
    step = make_train_step(model, build_optimizer(config), parallel.AXIS, weights, config.heads_only)
    return parallel.pmap_step(step, in_axes=(None, 0), donate_argnums=(0,))


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
