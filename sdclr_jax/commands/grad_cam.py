"""Grad-CAM: where the networks of runs look in images of rare classes."""

import logging
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sdclr_jax.data.datasets import Dataset, check_dataset, load_dataset
from sdclr_jax.data.image_files import as_pixels
from sdclr_jax.learn.build import build_model
from sdclr_jax.learn.restore import TrainedRun, load_run
from sdclr_jax.probe.attention import Attention, class_score, enlarged, feature_maps, grad_cam, tail_rows
from sdclr_jax.probe.balancedness import empty_groups, group_classes
from sdclr_jax.probe.exemplar_predictor import labelled_rows, require_lists
from sdclr_jax.probe.features import FeatureReader
from sdclr_jax.probe.probe import fit_logistic, logits
from sdclr_jax.report.grad_cam_plot import plot_grad_cam
from sdclr_jax.report.table_rows import method_name
from trainlib.analysis.plots import require_picture
from trainlib.core.errors import UserError
from trainlib.core.text import pluralize
from trainlib.run.devices import check_platform

_log = logging.getLogger(__name__)

SAME = ("dataset", "split", "lists", "groups", "view_size")  # settings in which runs must agree to see the same images


def explain_run(run: TrainedRun, name: str, dataset: Dataset, rows: np.ndarray, limit: int) -> Attention:
    """One run's attention to the test images `rows` [N]; `limit` is the number of the classifier's training images."""
    model = build_model(run.config)
    train = labelled_rows(dataset.labels, dataset.full, limit)
    size = min(run.config.feature_batch_size, len(train))
    reader = FeatureReader(model, run.variables, "none", size, jax.random.key(0))
    classifier = fit_logistic(reader.plain(dataset.images[train]), dataset.labels[train])
    images, labels = np.asarray(as_pixels(dataset.test_images)[rows]), jnp.asarray(dataset.test_labels[rows])

    @jax.jit
    def attend(variables: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        maps = feature_maps(model, variables, images)
        return grad_cam(maps, class_score(classifier, labels)), logits(classifier, maps.mean((1, 2))).argmax(1)

    maps, predicted = attend(run.variables, images)
    return Attention(name, enlarged(np.asarray(maps), *images.shape[1:3]), np.asarray(predicted))


def write_picture(
    workdirs: Sequence[str | pathlib.Path],
    output: str | pathlib.Path,
    *,
    number: int = 8,
    limit: int = 1000,
    step: str | int = "last",
    dataset: Dataset | None = None,
) -> list[Attention]:
    """Writes the picture of `number` images and returns what it shows. UserError: runs of different images.

    Args:
        limit: of the classifier's training images, the same number of each class; 0 for all.
        dataset: your own images, as passed to `train_and_evaluate`.
    """
    if number < 1:
        raise UserError(f"images is {number}; it must be at least 1")
    output = require_picture(output)
    runs = [load_run(workdir, step) for workdir in workdirs]
    config = runs[0].config
    for workdir, run in zip(workdirs, runs):
        differing = [key for key in SAME if run.config.get(key) != config.get(key)]
        if differing:
            raise UserError(f"{workdir} and {workdirs[0]} differ in {', '.join(differing)}: they have other images")
    check_platform(config.platform)
    dataset = load_dataset(config) if dataset is None else check_dataset(dataset)
    require_lists(dataset)
    counts = dataset.class_counts
    groups = group_classes(config.groups, counts)
    if not len(groups.few):
        _log.warning("%s; the smallest of all classes are shown", empty_groups(config.groups, counts))
    rows = tail_rows(dataset.test_labels, groups, counts, number)
    if len(rows) < number:
        _log.warning("The smallest classes have %s; %d were asked for", pluralize(len(rows), "test image"), number)
    seen = []
    for workdir, run in zip(workdirs, runs):
        seen.append(explain_run(run, f"{method_name(run.config)}\nstep {run.step}", dataset, rows, limit))
        _log.info("%s: %d of %d right", workdir, (seen[-1].predicted == dataset.test_labels[rows]).sum(), len(rows))
    images, labels = np.asarray(as_pixels(dataset.test_images)[rows]), dataset.test_labels[rows]
    plot_grad_cam(output, images, labels, seen, counts=counts, names=dataset.names)
    return seen
