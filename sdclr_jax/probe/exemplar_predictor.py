"""Labels of the test images by dense and pruned networks, each with its own statistics and linear classifier."""

from typing import Any

import jax
import numpy as np

from sdclr_jax.data.dataset import Dataset
from sdclr_jax.data.image_files import as_pixels
from sdclr_jax.data.longtail import balanced_draw
from sdclr_jax.learn.build import build_model
from sdclr_jax.learn.restore import TrainedRun
from sdclr_jax.probe.corruptions import corrupted
from sdclr_jax.probe.features import FeatureReader, make_calibration
from sdclr_jax.probe.probe import fit_logistic, logits
from trainlib.core.errors import UserError

CLEAN = "clean"


def require_lists(dataset: Dataset) -> None:
    """Raises UserError without a list to fit a linear classifier on, test images, or three classes."""
    for need in ("full", "test"):
        if need in dataset.absent:
            raise UserError(f"this analysis needs the list {need!r}: {dataset.absent[need]}")
    if dataset.num_classes < 3:
        raise UserError(
            f"this analysis compares large and small classes and needs at least three; there are {dataset.num_classes}"
        )


def labelled_rows(labels: np.ndarray, pool: np.ndarray, limit: int) -> np.ndarray:
    """At most `limit` rows of `pool` [M], the same number of each class of `labels` [N], always the same; 0 for all."""
    counts = np.bincount(labels[pool])
    per_class = min(limit // len(counts), counts[counts > 0].min())
    if limit and per_class < 1:
        raise UserError(f"limit is {limit}; it must be 0, for all, or at least the {len(counts)} classes")
    return balanced_draw(labels, pool, per_class, np.random.default_rng(0)) if limit else pool


class ExemplarPredictor:
    """Labels of the test images by a network of the population.

    Args:
        run: any of the runs.
        dataset: its images.
        limit: see `labelled_rows`; of the training and of the test images.
        severity: of the corruptions.
    """

    def __init__(self, run: TrainedRun, dataset: Dataset, limit: int, severity: int):
        train = labelled_rows(dataset.labels, dataset.full, limit)
        test = labelled_rows(dataset.test_labels, np.arange(len(dataset.test_labels)), limit)
        self._train, self._train_labels = np.asarray(as_pixels(dataset.images)[train]), dataset.labels[train]
        self.images, self.labels = np.asarray(as_pixels(dataset.test_images)[test]), dataset.test_labels[test]
        self._versions = {CLEAN: self.images, **corrupted(self.images, severity)}
        model, config = build_model(run.config), run.config
        self._calibrated = make_calibration(model, self._train)
        size = min(config.feature_batch_size, len(train))
        self._reader = FeatureReader(model, run.variables, "none", size, jax.random.key(0))

    def __call__(self, params: Any, batch_stats: Any) -> dict[str, np.ndarray]:
        """Labels int [N] by version of the images."""
        reader = self._reader.with_variables({"params": params, "batch_stats": self._calibrated(params, batch_stats)})
        classifier = fit_logistic(reader.plain(self._train), self._train_labels)
        return {
            version: np.asarray(logits(classifier, reader.plain(images))).argmax(1)
            for version, images in self._versions.items()
        }
