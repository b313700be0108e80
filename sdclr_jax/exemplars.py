"""What pruning makes a network forget: python -m sdclr_jax.exemplars --run=WORKDIR [WORKDIR ...] --output=DIR

Pruning-identified exemplars (Hooker et al., 2019): test images whose modal label over dense networks differs from that
over networks of which a share of the weights (--sparsities) is pruned. The networks are the runs (of one experiment and
split, with several seeds), and for each run and sparsity --masks masks: by magnitude alone, and others of which a part
of the pruned share (--random_share) is drawn at random. Every network, dense or pruned, gets its own BatchNorm
statistics and its own linear classifier from the same labelled images; nothing else is trained after pruning.
Writes exemplars.json, curves.png and contact_sheet.png.
"""

import argparse
import logging
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from sdclr_jax.data.datasets import Dataset, check_dataset, load_dataset
from sdclr_jax.data.image_files import as_pixels
from sdclr_jax.data.longtail import balanced_draw
from sdclr_jax.learn.build import build_model
from sdclr_jax.learn.masks import is_backbone_conv
from sdclr_jax.learn.restore import TrainedRun, load_run
from sdclr_jax.probe.balancedness import group_classes, weak_figures
from sdclr_jax.probe.corruptions import corrupted
from sdclr_jax.probe.features import FeatureReader, make_calibration
from sdclr_jax.probe.probe import fit_logistic, logits
from sdclr_jax.report.exemplar_plots import draw_curves, draw_sheet
from sdclr_jax.report.exemplar_report import CLEAN, Predictions, as_lines, examples, make_report
from trainlib.analysis.pruning_sweep import PruningSweep, add_pruning_flags, pruning_from_flags
from trainlib.core.cli import natural
from trainlib.core.errors import UserError
from trainlib.core.files import write_json
from trainlib.core.outputs import require_folder
from trainlib.core.text import pluralize
from trainlib.run.command import run_command
from trainlib.run.devices import check_platform

_log = logging.getLogger(__name__)

DEFAULT = PruningSweep()
SHOWN = 12  # exemplars of a sparsity on the contact sheet
FREE = ("seed", "platform", "data_path", "loader_threads")  # settings in which the runs of a population may differ


def load_population(workdirs: Sequence[str | pathlib.Path], step: str | int = "last") -> list[TrainedRun]:
    """Runs that differ in nothing but the seed. UserError that names the settings in which they do."""
    runs = [load_run(workdir, step) for workdir in workdirs]
    settings = [{k: v for k, v in run.config.to_dict().items() if k not in FREE} for run in runs]
    for workdir, own in zip(workdirs, settings):
        differing = sorted(k for k in own.keys() | settings[0].keys() if own.get(k) != settings[0].get(k))
        if differing:
            raise UserError(
                f"{workdir} and {workdirs[0]} differ in {', '.join(differing)}. A population is one experiment on one "
                "split with several seeds (trained with :split=1,seed=1, :split=1,seed=2, ...); analyse others apart."
            )
    return runs


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


def _stacked(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {version: np.stack([part[version] for part in parts]) for version in parts[0]}


def run_exemplars(
    workdirs: Sequence[str | pathlib.Path],
    output: str | pathlib.Path,
    pruning: PruningSweep = DEFAULT,
    *,
    severity: int = 3,
    limit: int = 1000,
    step: str | int = "last",
    dataset: Dataset | None = None,
) -> dict:
    """Predicts with every network, writes report and pictures into the folder `output` and returns the report.

    Args:
        workdirs: the runs.
        pruning: the pruned networks of each run, of the backbone's convolution weights.
        severity: of the corruptions, 1 .. 5.
        limit: most labelled training images, and most test images, the same number of each class; 0 for all.
        dataset: your own images, as passed to `train_and_evaluate`.
    """
    pruning, output = pruning.checked(), require_folder(output)
    runs = load_population(workdirs, step)
    config = runs[0].config
    check_platform(config.platform)
    dataset = load_dataset(config) if dataset is None else check_dataset(dataset)
    require_lists(dataset)
    predict = ExemplarPredictor(runs[0], dataset, limit, severity)
    dense = Predictions(0.0, _stacked([predict(**run.variables) for run in runs]))
    _log.info("dense: %s, %d test images", pluralize(len(runs), "network"), len(predict.labels))
    levels = []
    for sparsity in pruning.sparsities:
        levels.append(Predictions(sparsity, _stacked(list(_pruned_labels(predict, runs, pruning, sparsity)))))
        _log.info("%g pruned: %d networks", sparsity, pruning.masks * len(runs))
    groups = group_classes(config.groups, dataset.class_counts)
    population = {"runs": [str(w) for w in workdirs], "steps": [run.step for run in runs], "masks": pruning.masks}
    population |= {"random_share": pruning.random_share, "severity": severity, "limit": limit}
    report = population | make_report(dense, levels, predict.labels, groups) | {"class_names": dataset.names}
    test_counts = np.bincount(predict.labels, minlength=dataset.num_classes)
    for line in weak_figures(test_counts, groups, dataset.names):
        _log.warning("%s", line)
    _write(output, report, dense, levels, predict)
    return report


def _pruned_labels(
    predict: ExemplarPredictor, runs: list[TrainedRun], pruning: PruningSweep, sparsity: float
) -> Iterator[dict[str, np.ndarray]]:
    """The labels by each pruned network of each run."""
    for run in runs:
        params, rng = run.variables["params"], jax.random.key(run.config.seed)
        for pruned in pruning.pruned_params(params, sparsity, rng, is_backbone_conv):
            yield predict(pruned, run.variables["batch_stats"])


def _write(
    output: pathlib.Path, report: dict, dense: Predictions, levels: list[Predictions], predict: ExemplarPredictor
) -> None:
    write_json(output / "exemplars.json", report)
    of = f"{pluralize(len(report['runs']), 'run')}, {pluralize(report['masks'], 'mask')}"
    title = f"{of} of each run and sparsity, {report['images']:,} test images"
    draw_curves(output / "curves.png", report, f"What pruning makes networks forget: {title}")
    rows = [(level.sparsity, examples(dense, level, predict.labels, SHOWN)) for level in levels]
    heading = "Exemplars by pruned share; true: dense \N{RIGHTWARDS ARROW} pruned; frame: size of the class"
    draw_sheet(output / "contact_sheet.png", predict.images, rows, report["groups"], report["class_names"], heading)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sdclr_jax.exemplars", description=__doc__)
    parser.add_argument("--run", nargs="+", required=True, metavar="WORKDIR", help="runs that differ in their seed")
    parser.add_argument("--output", required=True, help="folder for report and pictures")
    parser.add_argument("--step", default="last", help="last, or a step's number")
    add_pruning_flags(parser)
    parser.add_argument("--severity", type=int, choices=range(1, 6), default=3, help="of the corruptions, 1 .. 5")
    parser.add_argument(
        "--limit", type=natural, default=1000, help="at most so many training and test images; 0 for all"
    )
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the shares and the paths of the files."""
    report = run_exemplars(
        arguments.run,
        arguments.output,
        pruning_from_flags(arguments),
        severity=arguments.severity,
        limit=arguments.limit,
        step=arguments.step,
    )
    print("\n".join(as_lines(report)))
    print(f"Report and pictures: {arguments.output}")


if __name__ == "__main__":
    run_command(main, _parser())
