"""The scores of frozen features by each protocol."""

import numpy as np
from ml_collections import ConfigDict

from sdclr_jax.data.dataset import Dataset
from sdclr_jax.data.longtail import capped_draw
from sdclr_jax.probe.balancedness import balancedness, class_accuracies, group_classes, without_nan
from sdclr_jax.probe.features import FeatureReader
from sdclr_jax.probe.probe import ProbeSchedule, fit_probe, logits, nearest_neighbours


class Scorer:
    """Scores the features of a run by each protocol; `limit` images of the full training list are used, 0 for all.

    Attributes:
        test_features: float32 [N, C], of the test images.
    """

    def __init__(self, config: ConfigDict, dataset: Dataset, reader: FeatureReader, limit: int):
        self._config, self._dataset, self._reader = config, dataset, reader
        self._train = {"full": dataset.full, "few": dataset.few}
        if limit and "full" not in dataset.absent:
            rng = np.random.default_rng(config.seed)
            self._train["full"] = capped_draw(dataset.labels, dataset.full, limit // dataset.num_classes, rng)
        self.test_features = reader.plain(dataset.test_images)
        self._val = None if "val" in dataset.absent else reader.plain(dataset.images[dataset.val])

    def score(self, protocol: str) -> dict:
        """The entry of the report."""
        dataset = self._dataset
        train = self._train["full" if protocol == "knn" else protocol]
        images, labels = dataset.images[train], dataset.labels[train]
        if protocol == "knn":
            count = min(self._config.knn_neighbours, len(train))
            bank, about = self._reader.plain(images), {"neighbours": count}
            predicted = nearest_neighbours(bank, labels, self.test_features, dataset.num_classes, count)
        else:
            schedule, val_labels = self._schedule(protocol), dataset.labels[dataset.val]
            features, seed = self._reader.by_epoch(images), self._config.seed
            probe = fit_probe(
                features, labels, self._val, val_labels, dataset.num_classes, schedule=schedule, seed=seed
            )
            about = {"epoch": probe.epoch, "val_accuracy": probe.val_accuracy}
            predicted = np.asarray(logits(probe.weights, self.test_features)).argmax(1)
        accuracies = class_accuracies(predicted, dataset.test_labels, dataset.num_classes)
        figures = balancedness(accuracies, group_classes(self._config.groups, dataset.class_counts))
        return {**figures._asdict(), "classes": without_nan(accuracies), "train_images": len(train), **about}

    def _schedule(self, protocol: str) -> ProbeSchedule:
        config = self._config
        return ProbeSchedule(
            epochs=config[f"probe_{protocol}_epochs"],
            learning_rate=config.probe_learning_rate,
            decay_epochs=tuple(config[f"probe_{protocol}_decays"]),
            decays_before_epoch=config.probe_decay_before_epoch,
            batch_size=config.probe_batch_size,
            validate_every=config[f"probe_{protocol}_validate_every"],
            select_top=config.probe_select_top,
        )
