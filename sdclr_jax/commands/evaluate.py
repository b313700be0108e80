"""Evaluation: the scores of a pre-trained network by each protocol."""

import io
import json
import logging
import pathlib
import time
from collections.abc import Sequence

import jax
import numpy as np
from ml_collections import ConfigDict

from sdclr_jax.data.dataset import identity
from sdclr_jax.data.datasets import Dataset, check_dataset, load_dataset
from sdclr_jax.learn.build import build_model
from sdclr_jax.learn.restore import load_run
from sdclr_jax.probe.balancedness import empty_groups, group_classes, weak_figures
from sdclr_jax.probe.features import FeatureReader
from sdclr_jax.probe.protocols import PROTOCOLS, check_protocols, possible_protocols
from sdclr_jax.probe.scorer import Scorer
from sdclr_jax.report.evaluation import FEATURES, REPORT
from trainlib.core.errors import UserError
from trainlib.core.files import write_atomic, write_json
from trainlib.core.outputs import require_folder
from trainlib.run.devices import check_platform
from trainlib.run.workdir import DATA_NAME

_log = logging.getLogger(__name__)

MOST_FEATURES = 2000  # images whose features are kept for pictures


def evaluate(
    workdir: str | pathlib.Path,
    *,
    step: str | int = "last",
    protocols: Sequence[str] = PROTOCOLS,
    limit: int | None = None,
    dataset: Dataset | None = None,
) -> dict:
    """Evaluates a run on its test images and writes the results into `eval/step_S` of the workdir.

    They are `report.json` and the features of up to 2,000 test images, `test_features.npz` ("features" float32 [N, C],
    "labels" int [N]).

    Args:
        limit: images of the full training list to use, the same number of each class, or all of a class that has fewer;
            0 for all images; None for the config's `probe_limit`.
        dataset: your own images, as passed to `train_and_evaluate`.

    Returns:
        the report of these protocols; the file also keeps earlier ones of the same limit. It has `step`,
        `class_names`, `class_counts` (of D_i), `test_counts`, `groups` (the names of the classes of each), and by
        protocol (a warning names protocols without lists) the shares `many`, `medium`, `few`, `std`, `all`,
        `classes` (accuracy of each), `train_images`, and for probes `epoch` and `val_accuracy`. A share of no class or
        no test image is None.

    Raises:
        UserError: for what cannot be evaluated, such as images without classes.
    """
    check_protocols(protocols)
    run = load_run(workdir, step)
    config = run.config
    check_platform(config.platform)
    folder = require_folder(pathlib.Path(workdir) / "eval" / f"step_{run.step}", "the report's folder")
    dataset = load_dataset(config) if dataset is None else check_dataset(dataset)
    protocols = possible_protocols(protocols, dataset)
    _compare_with_training(pathlib.Path(workdir) / DATA_NAME, dataset)
    limit = config.probe_limit if limit is None else limit
    if limit < 0 or 0 < limit < dataset.num_classes:
        raise UserError(f"limit is {limit}; it must be 0, for all, or at least the {dataset.num_classes} classes")
    keys = jax.random.split(jax.random.key(config.seed), 2)
    reader = FeatureReader(build_model(config), run.variables, config.probe_crop, config.feature_batch_size, keys[0])
    scorer = Scorer(config, dataset, reader, limit)
    report = {"step": run.step, "limit": limit, **_about_classes(config, dataset)}
    for protocol in protocols:
        began = time.monotonic()
        report[protocol] = scorer.score(protocol)
        _log.info("%s: %.1f %% after %.0f s", protocol, 100 * report[protocol]["all"], time.monotonic() - began)
    rows = np.sort(np.random.default_rng(config.seed).permutation(len(scorer.test_features))[:MOST_FEATURES])
    content = io.BytesIO()
    np.savez(content, features=scorer.test_features[rows], labels=dataset.test_labels[rows])
    write_atomic(folder / FEATURES, content.getvalue())
    write_json(folder / REPORT, _earlier(folder / REPORT, limit) | report)
    return report


def _about_classes(config: ConfigDict, dataset: Dataset) -> dict:
    """The classes' entries of the report. Logs which groups are empty, and which figures rest on few images."""
    counts, names = dataset.class_counts, dataset.names
    groups = group_classes(config.groups, counts)
    tested = np.bincount(dataset.test_labels, minlength=dataset.num_classes)
    for line in filter(None, [empty_groups(config.groups, counts), *weak_figures(tested, groups, names)]):
        _log.warning("%s", line)
    by_group = {group: [names[k] for k in classes] for group, classes in groups._asdict().items()}
    return {"class_names": names, "class_counts": counts.tolist(), "test_counts": tested.tolist(), "groups": by_group}


def _compare_with_training(file: pathlib.Path, dataset: Dataset) -> None:
    """Warns if the training images differ from the run's in `file`: test images may have been trained on."""
    if not file.exists():  # to look at all images takes seconds
        return
    trained, found = json.loads(file.read_text()), identity(dataset)
    if trained != found:
        _log.warning(
            "The training images differ from the run's: it saw %s, the data set has %s%s. Images that are tested "
            "here may have been trained on; train again, or evaluate with the images of then.",
            trained.get("images"),
            found["images"],
            " of the same number under other names or classes" if trained.get("images") == found["images"] else "",
        )


def _earlier(file: pathlib.Path, limit: int) -> dict:
    """The existing report, whose other protocols stay; nothing if it has another limit."""
    report = json.loads(file.read_text()) if file.exists() else {}
    if report.get("limit", limit) == limit:
        return report
    _log.warning("%s had limit %d and is replaced by one of limit %d", file, report["limit"], limit)
    return {}
