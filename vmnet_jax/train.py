"""Trains VMNet: python -m vmnet_jax.train --config=configs/NAME.py[:words] --workdir=DIR

The same command resumes an interrupted run, and the resumed run equals the uninterrupted one.
"""

import contextlib
import logging
import pathlib
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from trainlib import parallel
from trainlib.cadence import Progress, is_due
from trainlib.checkpoints import CheckpointStore
from trainlib.errors import UserError
from trainlib.flags import allowed_changes, run_main, strict
from trainlib.memory import GIB, device_memory, step_memory
from trainlib.metrics_writer import MetricWriter
from trainlib.prefetch import prefetch
from trainlib.stop import Stopped, StopRequest
from trainlib.window import MetricWindow
from trainlib.workdir import open_workdir
from vmnet_jax.batching import Sizes
from vmnet_jax.build import build_model, build_optimizer, build_schedule, build_state
from vmnet_jax.data import EvaluationBatches, SceneFolder, TrainingBatches, read_split
from vmnet_jax.inference import evaluate_scenes, make_forward
from vmnet_jax.metrics import accuracy, iou_from_confusion
from vmnet_jax.restore import write_inputs
from vmnet_jax.train_state import TrainState, make_train_step

_log = logging.getLogger(__name__)

ADVICE = "Lower config.learning_rate, or look at these scenes with python -m preprocess.check."


def train_and_evaluate(config: ConfigDict, workdir: str | pathlib.Path) -> TrainState:
    """Trains to `config.num_steps`, resuming from the newest checkpoint of `workdir`; returns the final state."""
    workdir = pathlib.Path(workdir)
    _check_numbers(config)
    with open_workdir(workdir, config, allowed_changes()) as folder, StopRequest() as stop:
        with stop.busy("reading the scenes"):
            read = SceneFolder(config.scenes, config.cache_gib)
            split = read_split(read.path, config.train_list, config.val_list, config.val_fraction)
            _log.info("%d training and %d validation scenes in %s", len(split.train), len(split.val), read.path)
            params = read.check(split.train + split.val)
            batches = _training_batches(config, read, split.train)
            evaluate = _evaluation(config, read, split.val) if split.val else None
            state = build_state(config, len(read.label_map.names))
        with CheckpointStore(workdir / "checkpoints", keep=config.keep_checkpoints) as store:
            store.check_space(state)
            if store.latest_step() is not None:
                state, _ = store.restore(state, strict=strict())
                _log.info("Resuming after step %d of %d", int(state.step), config.num_steps)
            folder.keep_config()
            write_inputs(workdir, params, read.label_map)
            return _run_loop(config, workdir, state, batches, evaluate, store, stop, len(read.label_map.names))


def _check_numbers(config: ConfigDict) -> None:
    """Raises UserError for counts that must be positive and are not."""
    for key in ("batch_size", "max_buckets", "loader_threads", "num_steps", "keep_checkpoints"):
        if config[key] < 1:
            raise UserError(f"config.{key} is {config[key]}, it must be at least 1")


def _training_batches(config: ConfigDict, read: SceneFolder, names: list[str]) -> TrainingBatches:
    batches = TrainingBatches(
        read,
        names,
        batch_size=config.batch_size,
        devices=parallel.num_devices(),
        features=tuple(config.features),
        rotation=config.rotation,
        edge_cutoff=config.edge_cutoff,
        max_buckets=config.max_buckets,
        seed=config.seed,
    )
    sizes = "; ".join(f"{b.voxels[0]} voxels, {b.vertices[0]} vertices" for b in batches.buckets)
    _log.info("%d steps an epoch; buckets: %s", batches.steps_per_epoch, sizes)
    return batches


def _evaluation(config: ConfigDict, read: SceneFolder, names: list[str]) -> Callable[[TrainState], dict[str, float]]:
    """evaluate(replicated state) -> mean IoU and accuracy over the validation scenes, one pass each."""
    num_classes = len(read.label_map.names)
    batches = EvaluationBatches(
        read, names, features=tuple(config.features), rotation=config.rotation, max_buckets=2, seed=config.seed
    )
    forward = make_forward(build_model(config, num_classes))

    def evaluate(state: TrainState) -> dict[str, float]:
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        table = evaluate_scenes(forward, variables, batches, read, num_classes)
        return {"val/mean_iou": iou_from_confusion(table)[1], "val/accuracy": accuracy(table)}

    return evaluate


def _train_step(config: ConfigDict, num_classes: int) -> Callable:
    """The step of one run over all local devices; the old state's memory is reused."""
    weights = jnp.asarray(config.class_weights, jnp.float32) if len(config.class_weights) else None
    model = build_model(config, num_classes, parallel.AXIS)
    step = make_train_step(model, build_optimizer(config), parallel.AXIS, weights)
    return parallel.pmap_step(step, donate_argnums=(0,))


def _check_memory(train_step, state, arrays, bucket: Sizes, largest: Sizes) -> None:
    """Logs what a step needs on each device, before it runs; raises UserError where that is more than there is."""
    needed, there = step_memory(train_step, state, arrays), device_memory()
    growth = max(
        b / a for a, b in zip(bucket.voxels[:1] + bucket.vertices[:1], largest.voxels[:1] + largest.vertices[:1])
    )
    at_most = needed.total + (growth - 1) * needed.temporaries
    _log.info(
        "Memory of a step, %d voxels and %d vertices: %s; in the largest bucket about %.2f GiB; a device has %.1f GiB",
        bucket.voxels[0], bucket.vertices[0], needed, at_most / GIB, there / GIB,
    )  # fmt: skip
    if needed.total > there:
        raise UserError(
            f"a step needs {needed} but a device has {there / GIB:.1f} GiB. Lower config.batch_size, or preprocess "
            "with a larger --voxel_size and --cells."
        )
    if at_most > there:
        _log.warning("The largest batches may not fit the memory: lower config.batch_size")


def _run_loop(config, workdir, state, batches, evaluate, store, stop, num_classes) -> TrainState:
    """From `state.step` to the end: train, log, evaluate, save."""
    train_step, schedule = _train_step(config, num_classes), build_schedule(config)
    start, total, threads = int(state.step), config.num_steps, config.loader_threads
    state, window, progress = parallel.replicate(state), MetricWindow(ADVICE), Progress(total, start)
    began = time.monotonic()
    if start >= total:
        _log.info("Nothing to do: the run has finished; config.num_steps is %d", total)
    with (
        MetricWriter(workdir, start) as writer,
        prefetch(batches, start, total, workers=threads, depth=2 * threads) as loader,
    ):
        for step, batch in zip(range(start, total), loader):
            first, arrays = step == start, parallel.stack(batch.arrays)
            with stop.busy("compiling the first step") if first else contextlib.nullcontext():
                if first:
                    _check_memory(train_step, state, arrays, batch.bucket, batches.buckets[-1])
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
            score = None
            if evaluate and (done == total or is_due(done, config.eval_every, total)):
                values = evaluate(state)
                score = values["val/mean_iou"]
                writer.write(done, values)
                _log.info("step %d  %s", done, "  ".join(f"{k} {v:.4f}" for k, v in values.items()))
            if is_due(done, config.save_every, total) or score is not None or stop.requested:
                window.check()
                later = done < total and not stop.requested
                store.save(done, parallel.unreplicate(state), score, retry_later=later)
            if stop.requested and done < total:
                raise Stopped(f"stopped after step {done}, which is saved")
        if total - start > 1:
            share = loader.waited_s / (time.monotonic() - began)
            _log.info("The devices waited for data %.1f %% of the time", 100 * share)
    return parallel.unreplicate(state)


if __name__ == "__main__":
    run_main(train_and_evaluate)
