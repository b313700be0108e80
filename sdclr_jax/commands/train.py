"""Training: from a config and a folder to a pre-trained network."""

import logging
import pathlib
from collections.abc import Callable
from typing import Any

import jax
from ml_collections import ConfigDict

from sdclr_jax.data.batches import Order, check_batches, epoch_order, make_feed, steps_per_epoch
from sdclr_jax.data.dataset import describe, identity
from sdclr_jax.data.datasets import Dataset, check_dataset, load_dataset
from sdclr_jax.default_config import MARKS, is_pruned
from sdclr_jax.learn import build
from sdclr_jax.learn.step import TrainState, make_refresh, make_train_step
from sdclr_jax.probe.forgetting import forgetting
from sdclr_jax.settings import check_config
from sdclr_jax.views.views import two_views
from trainlib.run import parallel
from trainlib.run.flags import allowed_changes
from trainlib.run.loop import Schedule, TrainRun
from trainlib.run.memory import check_memory
from trainlib.run.signals import StopRequest
from trainlib.run.workdir import open_workdir, require_settings

_log = logging.getLogger(__name__)

SMALLER = "Lower config.batch_size, or set config.dtype to bfloat16."


def train_and_evaluate(config: ConfigDict, workdir: str | pathlib.Path, dataset: Dataset | None = None) -> TrainState:
    """Trains for `config.epochs`, resuming from the newest checkpoint of `workdir`; returns the final state.

    Your own `dataset` takes the place of the config's.
    """
    workdir = pathlib.Path(workdir)
    require_settings(config, MARKS, "the config", "sdclr_jax")
    check_config(config)
    with open_workdir(workdir, config, allowed_changes()) as folder, StopRequest() as stop:
        with stop.busy("reading the images"):
            dataset = load_dataset(config) if dataset is None else check_dataset(dataset)
            per_epoch = steps_per_epoch(len(dataset.pretrain), config.batch_size, config.drop_last)
            _log.info("Training images: %s; steps of an epoch: %d", describe(dataset), per_epoch)
            check_batches(len(dataset.pretrain), config.batch_size, config.drop_last)
            folder.check_data(identity(dataset))
        with stop.busy("building the network"):
            state = build.build_state(config, per_epoch)
        total = config.max_steps or config.epochs * per_epoch
        plan = Schedule(total, config.log_every, config.save_every_epochs * per_epoch, config.keep_checkpoints)
        schedule = build.build_schedule(config, per_epoch)
        advice = "Lower config.learning_rate, or raise config.temperature."
        with TrainRun(folder, stop, state, plan, advice=advice, rate=lambda step: schedule(step + 1)) as run:
            folder.keep_config()
            return _loop(config, run, run.begin(run.state), dataset, per_epoch)


def _loop(config: ConfigDict, run: TrainRun, state: TrainState, dataset: Dataset, per_epoch: int) -> TrainState:
    """Trains from the restored step to the end; returns the state on the host."""
    count, devices = len(dataset.pretrain), parallel.num_devices()
    size = config.batch_size if config.drop_last else min(config.batch_size, count)

    def order_of(epoch: int) -> Order:
        return epoch_order(count, size, devices, config.seed, epoch, drop_last=config.drop_last)

    feed = make_feed(dataset.images[dataset.pretrain], order_of, per_epoch)
    step_of = make_step(config, per_epoch, feed.select)
    train_step = parallel.pmap_step(step_of, in_axes=(None, feed.axis, 0, None), donate_argnums=(0,))
    refresh, forgotten, order = None, None, None
    if is_pruned(config):
        masks_of = make_refresh(config.prune_fraction, config.prune_random_fraction, per_epoch)
        refresh = parallel.pmap_step(masks_of, in_axes=(None, None), donate_argnums=(0,))
        forgotten = forgetting(config, dataset, per_epoch)
    keys = parallel.to_devices(jax.tree.map(jax.random.key_data, build.run_keys(config)))
    with feed.batches(run.start, run.total) as batches:
        run.measure_again(state, forgotten)
        for step, images_state in run.steps(batches):
            first, epoch, position = step == run.start, *divmod(step, per_epoch)
            refreshes = refresh is not None and position == 0
            with run.compiling(step, state, when=first or (position == 0 and step < run.start + per_epoch)):
                if first or position == 0:
                    order = parallel.stack([Order(*parts) for parts in parallel.own(list(zip(*order_of(epoch))))])
                if refreshes:
                    state, mask_values = refresh(state, keys.masks)
                if first:
                    how = {"what": f"{size} images", "remedy": SMALLER}
                    check_memory(train_step, state, images_state, order, keys.views, **how)
                state, metrics = train_step(state, images_state, order, keys.views)
            if refreshes:
                # Read from the refresh's own result: nothing is queued behind the step that the devices now work on.
                values = parallel.to_host(mask_values)
                run.write(step + 1, {f"mask/{name}": value for name, value in values.items()})
            run.finish(step, state, metrics, f"batch {position} of epoch {epoch}")
            run.measure(step + 1, state, forgotten)
    return parallel.to_host(state)


def make_step(config: ConfigDict, per_epoch: int, select: Callable) -> Callable[..., tuple[TrainState, dict]]:
    """step(state, images_state, order, rng) -> state, metrics, on one device's share, where the views are drawn.

    `images_state` is what an `ImageFeed` gives for the step and `select` the feed's; `order` is the device's
    part of the epoch's `Order`, `rng` the views' key as `jax.random.key_data`: an argument, so that runs with other
    seeds need no other program.
    """
    model, tx = build.build_model(config, parallel.AXIS), build.build_optimizer(config, per_epoch)
    update = make_train_step(model, tx, is_pruned(config))
    views, temperature = build.build_views(config), build.build_temperature(config)

    def step(state: TrainState, images_state: Any, order: Order, rng: jax.Array) -> tuple[TrainState, dict]:
        position = state.step % per_epoch
        examples, rows = order.examples[position], order.rows[position]
        images, sizes = select(images_state, examples)
        both = two_views(jax.random.wrap_key_data(rng), state.step // per_epoch, examples, images, views, sizes=sizes)
        return update(state, both, rows, temperature(state.step / per_epoch))

    return step
