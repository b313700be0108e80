"""Scores a pre-trained network: python -m sdclr_jax.evaluate --workdir=DIR [--step=last|N] [--protocols=full,few,knn]

full   linear separability: a linear probe trained on the balanced training list
few    the same on S_b, a hundredth of it
knn    nearest neighbours among the balanced training list

The backbone is frozen: dense weights, BatchNorm of branch 0.
"""

import argparse
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
from sdclr_jax.data.longtail import capped_draw
from sdclr_jax.learn.build import build_model
from sdclr_jax.learn.restore import load_run
from sdclr_jax.probe.balancedness import (
    balancedness,
    class_accuracies,
    empty_groups,
    group_classes,
    weak_figures,
    without_nan,
)
from sdclr_jax.probe.features import FeatureReader
from sdclr_jax.probe.probe import ProbeSchedule, fit_probe, logits, nearest_neighbours
from trainlib.core.cli import natural
from trainlib.core.errors import UserError
from trainlib.core.files import write_atomic, write_json
from trainlib.core.outputs import require_folder
from trainlib.run.command import run_command
from trainlib.run.devices import check_platform
from trainlib.run.workdir import DATA_NAME

_log = logging.getLogger(__name__)

PROTOCOLS = ("full", "few", "knn")
NEEDS = {"full": ("full", "val", "test"), "few": ("few", "val", "test"), "knn": ("full", "test")}
COLUMNS = ("many", "medium", "few", "std", "all")
REPORT = "report.json"
FEATURES = "test_features.npz"
MOST_FEATURES = 2000  # images whose features are kept for pictures
MOST_CLASSES = 30  # classes whose accuracy is printed


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
        step: "last" or a step's number.
        protocols: of `PROTOCOLS`.
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
        UserError: what cannot be evaluated, such as images without classes.
    """
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown:
        raise UserError(f"protocols {', '.join(unknown)} are not known; known: {', '.join(PROTOCOLS)}")
    run = load_run(workdir, step)
    config = run.config
    check_platform(config.platform)
    file = require_folder(pathlib.Path(workdir) / "eval" / f"step_{run.step}", "the report's folder") / REPORT
    dataset = load_dataset(config) if dataset is None else check_dataset(dataset)
    protocols = _possible(protocols, dataset)
    _compare_with_training(pathlib.Path(workdir), dataset)
    limit = config.probe_limit if limit is None else limit
    if limit < 0 or 0 < limit < dataset.num_classes:
        raise UserError(f"limit is {limit}; it must be 0, for all, or at least the {dataset.num_classes} classes")
    keys = jax.random.split(jax.random.key(config.seed), 2)
    reader = FeatureReader(build_model(config), run.variables, config.probe_crop, config.feature_batch_size, keys[0])
    scorer = _Scorer(config, dataset, reader, limit)
    report = {"step": run.step, "limit": limit, **_about_classes(config, dataset)}
    for protocol in protocols:
        began = time.monotonic()
        report[protocol] = scorer.score(protocol)
        _log.info("%s: %.1f %% after %.0f s", protocol, 100 * report[protocol]["all"], time.monotonic() - began)
    scorer.keep_features(file.with_name(FEATURES))
    write_json(file, _earlier(file, limit) | report)
    return report


def _about_classes(config: ConfigDict, dataset: Dataset) -> dict:
    """The classes' entries of the report. Logs which groups are empty, and which figures rest on few images."""
    counts, names = dataset.class_counts, dataset.names
    groups = group_classes(config.groups, counts)
    test_counts = np.bincount(dataset.test_labels, minlength=dataset.num_classes)
    empty = empty_groups(config.groups, counts)
    for line in [*([empty] if empty else []), *weak_figures(test_counts, groups, names)]:
        _log.warning("%s", line)
    return {
        "class_names": names,
        "class_counts": counts.tolist(),
        "test_counts": test_counts.tolist(),
        "groups": {group: [names[k] for k in classes] for group, classes in groups._asdict().items()},
    }


def _compare_with_training(workdir: pathlib.Path, dataset: Dataset) -> None:
    """Warns if the training images differ from the run's: test images may have been trained on."""
    file = workdir / DATA_NAME
    if not file.exists():
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
    if not file.exists():
        return {}
    report = json.loads(file.read_text())
    if report["limit"] == limit:
        return report
    _log.warning("%s had limit %d and is replaced by one of limit %d", file, report["limit"], limit)
    return {}


def _possible(protocols: Sequence[str], dataset: Dataset) -> list[str]:
    """The protocols whose lists are there. UserError if there is none."""
    reasons = {name: [dataset.absent[need] for need in NEEDS[name] if need in dataset.absent] for name in protocols}
    left_out = {name: "; ".join(dict.fromkeys(why)) for name, why in reasons.items() if why}
    if len(left_out) == len(reasons) and len(set(left_out.values())) == 1:
        are = "are" if len(left_out) > 1 else "is"
        raise UserError(f"nothing to evaluate: {', '.join(left_out)} {are} skipped: {next(iter(left_out.values()))}")
    if len(left_out) == len(reasons):
        raise UserError("nothing to evaluate: " + ". ".join(f"{k} is skipped: {why}" for k, why in left_out.items()))
    for name, why in left_out.items():
        _log.warning("%s is skipped: %s", name, why)
    return [name for name, why in reasons.items() if not why]


class _Scorer:
    """The test and validation features of one run, and its score by each protocol."""

    def __init__(self, config: ConfigDict, dataset: Dataset, reader: FeatureReader, limit: int):
        self._config, self._dataset, self._reader = config, dataset, reader
        self._groups = group_classes(config.groups, dataset.class_counts)
        self._full = dataset.full
        if limit and "full" not in dataset.absent:
            per_class = limit // dataset.num_classes
            self._full = capped_draw(dataset.labels, dataset.full, per_class, np.random.default_rng(config.seed))
        self._test = reader.plain(dataset.test_images)
        self._val = None if "val" in dataset.absent else reader.plain(dataset.images[dataset.val])

    def keep_features(self, path: pathlib.Path) -> None:
        """Writes features and labels of the test images, of a random part where there are many."""
        count = len(self._test)
        rows = np.sort(np.random.default_rng(self._config.seed).permutation(count)[:MOST_FEATURES])
        content = io.BytesIO()
        np.savez(content, features=self._test[rows], labels=self._dataset.test_labels[rows])
        write_atomic(path, content.getvalue())

    def score(self, protocol: str) -> dict:
        """The entry of the report."""
        if protocol == "knn":
            predicted, about = self._neighbours()
        else:
            predicted, about = self._probe(protocol)
        accuracies = class_accuracies(predicted, self._dataset.test_labels, self._dataset.num_classes)
        figures = balancedness(accuracies, self._groups)._asdict()
        return {**figures, "classes": without_nan(accuracies), **about}

    def _probe(self, protocol: str) -> tuple[np.ndarray, dict]:
        dataset, config = self._dataset, self._config
        train = {"full": self._full, "few": dataset.few}[protocol]
        schedule = ProbeSchedule(
            epochs=config[f"probe_{protocol}_epochs"],
            learning_rate=config.probe_learning_rate,
            decay_epochs=tuple(config[f"probe_{protocol}_decays"]),
            decays_before_epoch=config.probe_decay_before_epoch,
            batch_size=config.probe_batch_size,
            validate_every=config[f"probe_{protocol}_validate_every"],
            select_top=config.probe_select_top,
        )
        probe = fit_probe(
            self._reader.by_epoch(dataset.images[train]),
            dataset.labels[train],
            self._val,
            dataset.labels[dataset.val],
            dataset.num_classes,
            schedule,
            config.seed,
        )
        predicted = np.asarray(logits(probe.weights, self._test)).argmax(1)
        return predicted, {"train_images": len(train), "epoch": probe.epoch, "val_accuracy": probe.val_accuracy}

    def _neighbours(self) -> tuple[np.ndarray, dict]:
        dataset, train = self._dataset, self._full
        bank, count = self._reader.plain(dataset.images[train]), min(self._config.knn_neighbours, len(train))
        predicted = nearest_neighbours(bank, dataset.labels[train], self._test, dataset.num_classes, count)
        return predicted, {"train_images": len(train), "neighbours": count}


def format_report(report: dict) -> str:
    """The report as tables for the terminal, in %: by group and, of up to 30 classes, by class."""
    shown = [protocol for protocol in PROTOCOLS if protocol in report]
    lines = ["protocol   Many  Medium   Few   Std   All"]
    for protocol in shown:
        many, medium, *rest = (_percent(report[protocol][column]) for column in COLUMNS)
        lines.append(f"{protocol:8}  {many:>5}  {medium:>6} {' '.join(f'{text:>5}' for text in rest)}")
    if len(report["class_names"]) > MOST_CLASSES:
        return "\n".join(lines)
    width = max(5, *map(len, report["class_names"]))
    lines += ["", f"{'class':{width}}  {'D_i':>6}  {'test':>6}  " + "  ".join(f"{protocol:>5}" for protocol in shown)]
    for k in np.argsort(-np.array(report["class_counts"]), kind="stable"):
        sizes = f"{report['class_counts'][k]:6}  {report['test_counts'][k]:6}"
        cells = "  ".join(f"{_percent(report[protocol]['classes'][k]):>5}" for protocol in shown)
        lines.append(f"{report['class_names'][k]:{width}}  {sizes}  {cells}")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "--" if share is None else f"{100 * share:.1f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sdclr_jax.evaluate", description=__doc__)
    parser.add_argument("--workdir", required=True, help="folder of the training run")
    parser.add_argument("--step", default="last", help="last, or a step's number")
    parser.add_argument("--protocols", default=",".join(PROTOCOLS), help="parted by commas")
    parser.add_argument("--limit", type=natural, help="images of the full training list, 0: all; default: the config's")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the table and the path of the report."""
    protocols = arguments.protocols.split(",")
    report = evaluate(arguments.workdir, step=arguments.step, protocols=protocols, limit=arguments.limit)
    print(format_report(report))
    print(f"Report: {pathlib.Path(arguments.workdir) / 'eval' / ('step_' + str(report['step'])) / REPORT}")


if __name__ == "__main__":
    run_command(main, _parser())
