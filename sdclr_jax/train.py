"""Trains SDCLR or SimCLR: python -m sdclr_jax.train --config=configs/NAME.py[:words] --workdir=DIR

The same command resumes an interrupted run, and the resumed run equals the uninterrupted one.
"""

import contextlib
import logging
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from sdclr_jax.data.batches import Order, epoch_order, map_rows, steps_per_epoch
from sdclr_jax.data.dataset import identity, named_counts
from sdclr_jax.data.datasets import Dataset, check_dataset, load_dataset
from sdclr_jax.data.image_feed import make_source
from sdclr_jax.data.image_files import as_pixels
from sdclr_jax.learn.build import (
    build_model,
    build_optimizer,
    build_schedule,
    build_state,
    build_temperature,
    build_views,
    is_pruned,
    run_keys,
)
from sdclr_jax.learn.refresh import make_refresh
from sdclr_jax.learn.restore import SETTINGS
from sdclr_jax.learn.step import TrainState, make_train_step
from sdclr_jax.probe.balancedness import group_classes
from sdclr_jax.probe.forgetting import SHARES, group_shares, make_forgetting, most_forgotten
from sdclr_jax.settings import check_config
from sdclr_jax.views.views import two_views
from trainlib.core.errors import UserError
from trainlib.run import parallel, processes
from trainlib.run.cadence import Progress, is_due
from trainlib.run.checkpoints import CheckpointStore
from trainlib.run.flags import allowed_changes, run_main, strict
from trainlib.run.memory import check_memory
from trainlib.run.metrics import open_metrics
from trainlib.run.saver import RunSaver, restore_newest
from trainlib.run.signals import StopRequest
from trainlib.run.window import MetricWindow
from trainlib.run.workdir import open_workdir, require_settings

_log = logging.getLogger(__name__)

ADVICE = "Lower config.learning_rate, or raise config.temperature."
SMALLER = "Lower config.batch_size, or set config.dtype to bfloat16."


def train_and_evaluate(config: ConfigDict, workdir: str | pathlib.Path, dataset: Dataset | None = None) -> TrainState:
    """Trains for `config.epochs`, resuming from the newest checkpoint of `workdir`; returns the final state.

    Args:
        config: see docs/sdclr.md.
        workdir: folder of the run.
        dataset: your own images, instead of the config's.
    """
    workdir = pathlib.Path(workdir)
    require_settings(config, SETTINGS, "the config", "sdclr_jax")
    check_config(config)
    with open_workdir(workdir, config, allowed_changes()) as folder, StopRequest() as stop:
        with stop.busy("reading the images"):
            dataset = load_dataset(config) if dataset is None else check_dataset(dataset)
            per_epoch = steps_per_epoch(len(dataset.pretrain), config.batch_size, config.drop_last)
            _log.info("Training images: %s; steps of an epoch: %d", _describe(dataset), per_epoch)
            _check_batches(config, len(dataset.pretrain))
            folder.check_data(identity(dataset))
        with stop.busy("building the network"):
            state = build_state(config, per_epoch)
        with CheckpointStore(workdir / "checkpoints", keep=config.keep_checkpoints) as store:
            if processes.is_first():
                store.check_space(state)
            restored = restore_newest(store, state, strict())
            if restored is not None:
                state = restored
                _log.info(
                    "Resuming after step %d of %d", int(state.step), config.max_steps or config.epochs * per_epoch
                )
            folder.keep_config()
            return _run_loop(config, workdir, state, dataset, per_epoch, store, stop)


def _batch_size(config: ConfigDict, count: int) -> int:
    """Images of a batch: `config.batch_size`, or all `count` images where they are fewer and no batch is dropped."""
    return config.batch_size if config.drop_last else min(config.batch_size, count)


def _check_batches(config: ConfigDict, count: int) -> None:
    """UserError for too few images to compare; warns of a last batch of one."""
    if count < 2:
        raise UserError(f"{count} image to train on; contrastive learning compares images, so it needs at least 2")
    if config.batch_size < 2:
        raise UserError(f"config.batch_size is {config.batch_size}; images are compared in a batch, so it needs 2")
    if count < config.batch_size and not config.drop_last:
        _log.info("Batches of all %d images, fewer than config.batch_size = %d", count, config.batch_size)
    if count % config.batch_size == 1 and not config.drop_last:
        _log.warning(
            "The last batch of each epoch has 1 image (%d images in batches of %d): with nothing to compare it with, "
            "its loss is 0, and it distorts the running statistics of BatchNorm. Set config.drop_last=True or another "
            "config.batch_size.",
            count,
            config.batch_size,
        )


def _describe(dataset: Dataset) -> str:
    """Such as "24 images of 2 classes (ant 18, bee 6)"."""
    labels = dataset.labels[dataset.pretrain]
    counts = np.bincount(labels[labels >= 0], minlength=dataset.num_classes)
    classes = f"{len(counts)} class{'es' if len(counts) > 1 else ''} ({named_counts(dataset.names, counts)})"
    return f"{len(labels):,} images" + (f" of {classes}" if len(counts) else ", no classes")


def make_step(config: ConfigDict, per_epoch: int, select: Callable) -> Callable[..., tuple[TrainState, dict]]:
    """step(state, images_state, order, rng) -> state, metrics, on one device's share, where the views are drawn.

    `images_state` is what a source of `sources` gives for the step and `select` the source's; `order` is the device's
    part of the epoch's `Order`, `rng` the views' key as `jax.random.key_data`: an argument, so that runs with other
    seeds need no other program.
    """
    model, tx = build_model(config, parallel.AXIS), build_optimizer(config, per_epoch)
    update = make_train_step(model, tx, is_pruned(config))
    views, temperature = build_views(config), build_temperature(config)

    def step(state: TrainState, images_state: Any, order: Order, rng: jax.Array) -> tuple[TrainState, dict]:
        position = state.step % per_epoch
        examples, rows = order.examples[position], order.rows[position]
        images, sizes = select(images_state, examples)
        both = two_views(jax.random.wrap_key_data(rng), state.step // per_epoch, examples, images, views, sizes)
        return update(state, both, rows, temperature(state.step / per_epoch))

    return step


def _refresh(config: ConfigDict, per_epoch: int) -> Callable:
    """New masks on all devices; the old state's memory is reused."""
    refresh = make_refresh(config.prune_fraction, config.prune_random_fraction, per_epoch)
    return parallel.pmap_step(refresh, donate_argnums=(0,))


def _forgetting(config: ConfigDict, dataset: Dataset) -> Callable[[TrainState], dict[str, float]] | None:
    """measure(replicated state) -> each group's shares of the training images that the pruned branch forgets most.

    They are `forgotten/GROUP` of the most forgotten tenth, `forgotten_hundredth/GROUP`, and `present/GROUP` of all
    images that have a class. None if the classes make no groups.
    """
    groups = group_classes(config.groups, dataset.class_counts)
    if not any(map(len, groups)):
        return None
    score = parallel.pmap_step(make_forgetting(build_model(config)))
    rows = dataset.pretrain[dataset.labels[dataset.pretrain] >= 0]
    labels, images = dataset.labels[rows], as_pixels(dataset.images[rows])
    present = {f"present/{name}": share for name, share in group_shares(labels, groups).items()}

    def measure(state: TrainState) -> dict[str, float]:
        constants = (state.params, state.batch_stats, state.masks)
        scores = map_rows(score, constants, (images,), config.batch_size)
        shares = {name: group_shares(labels[most_forgotten(scores, part)], groups) for name, part in SHARES.items()}
        return {f"{name}/{group}": share for name, by in shares.items() for group, share in by.items()} | present

    return measure


def _run_loop(config, workdir, state, dataset, per_epoch, store, stop) -> TrainState:
    """From `state.step` to the end: masks, train, log, save, measure."""
    order_of = _order_of(config, dataset)
    source = make_source(dataset.images[dataset.pretrain], order_of, per_epoch)
    train_step = parallel.pmap_step(make_step(config, per_epoch, source.select), donate_argnums=(0,))
    schedule, pruned = build_schedule(config, per_epoch), is_pruned(config)
    refresh = _refresh(config, per_epoch) if pruned else None
    measure = _forgetting(config, dataset) if pruned else None
    start, total = int(state.step), config.max_steps or config.epochs * per_epoch
    keys = jax.tree.map(jax.random.key_data, run_keys(config))
    state, keys = parallel.replicate((state, keys))
    window, progress, order = MetricWindow(ADVICE), Progress(total, start), None
    saver = RunSaver(store, window, stop, start, total)
    began = time.monotonic()
    if start >= total:
        _log.info("Nothing to do: the run has finished; it has %d steps", total)
    with open_metrics(workdir, start) as writer, source.batches(start, total) as batches:

        def measure_forgetting(done: int) -> None:
            if not measure or not is_due(done, config.forgetting_every_epochs * per_epoch, total):
                return
            with saver.interruptible(done, state, f"the measurement after step {done}"):
                values = measure(state)
            writer.write(done, {"epoch": done / per_epoch, **values})
            shown = (f"{k} {v:.3f}" for k, v in values.items() if k.startswith("forgotten/"))
            _log.info("step %d  %s", done, "  ".join(shown))

        if processes.broadcast_from_first(start > 0 and not writer.has(start, "forgotten/many")):
            measure_forgetting(start)
        for step, images_state in zip(range(start, total), batches):
            first, epoch = step == start, step // per_epoch
            done, epoch_starts = step + 1, step % per_epoch == 0
            compiles = first or (epoch_starts and step < start + per_epoch)
            with saver.interruptible(step, state, "compiling a step") if compiles else contextlib.nullcontext():
                if first or epoch_starts:
                    order = parallel.stack([Order(*parts) for parts in parallel.own(list(zip(*order_of(epoch))))])
                if refresh and epoch_starts:
                    state, mask_values = refresh(state, keys.masks)
                if first:
                    size = f"{_batch_size(config, len(dataset.pretrain))} images"
                    check_memory(train_step, state, images_state, order, keys.views, what=size, remedy=SMALLER)
                state, metrics = train_step(state, images_state, order, keys.views)
            if refresh and epoch_starts:
                # Read from the refresh's own result: nothing is queued behind the step that the devices now work on.
                mask_values = parallel.unreplicate(mask_values)
                writer.write(done, {f"mask/{name}": value for name, value in mask_values.items()})
            window.add(step, f"batch {step % per_epoch} of epoch {epoch}", jax.tree.map(lambda x: x[0], metrics))
            if first:
                _log.info("First step after %.0f s", time.monotonic() - began)
                progress, began, batches.waited_s = Progress(total, done), time.monotonic(), 0.0
            if is_due(done, config.log_every, total):
                values = {**window.close(), "learning_rate": float(schedule(done))}
                writer.write(done, values)
                _log.info("%s  %s", progress.line(done), "  ".join(f"{k} {v:.4g}" for k, v in values.items()))
            if is_due(done, config.save_every_epochs * per_epoch, total) or done == total:
                saver.save(done, state)
            saver.stop_if_requested(done, state)
            measure_forgetting(done)
        if batches.waited_s:
            share = batches.waited_s / (time.monotonic() - began)
            _log.info("The devices waited for data %.1f %% of the time", 100 * share)
    return parallel.unreplicate(state)


def _order_of(config: ConfigDict, dataset: Dataset) -> Callable[[int], Order]:
    """epoch -> its batches over all devices, on the host."""
    count, devices = len(dataset.pretrain), parallel.num_devices()
    size = _batch_size(config, count)
    return lambda epoch: epoch_order(count, size, devices, config.seed, epoch, config.drop_last)


if __name__ == "__main__":
    run_main(train_and_evaluate)
