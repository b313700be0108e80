"""Exemplars: the test images that pruned networks see otherwise."""

import functools
import logging
import pathlib
from collections.abc import Sequence

import numpy as np

from sdclr_jax.data.datasets import Dataset, check_dataset, load_dataset
from sdclr_jax.learn.masks import is_backbone_conv
from sdclr_jax.learn.restore import TrainedRun, load_run
from sdclr_jax.probe.balancedness import group_classes, weak_figures
from sdclr_jax.probe.exemplar_predictor import ExemplarPredictor, require_lists
from sdclr_jax.report.exemplar_report import Predictions, draw_curves, draw_sheet, examples, make_report
from trainlib.analysis.pruned_networks import predictions
from trainlib.analysis.pruning_sweep import PruningSweep
from trainlib.core.errors import UserError
from trainlib.core.files import write_json
from trainlib.core.outputs import require_folder
from trainlib.core.text import pluralize
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


def _stacked(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
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
    networks = [
        (run.variables["params"], run.config.seed, functools.partial(predict, batch_stats=run.variables["batch_stats"]))
        for run in runs
    ]
    pruned = predictions(pruning, networks, is_backbone_conv)
    levels = [Predictions(sparsity, _stacked(labels)) for sparsity, labels in pruned]
    groups = group_classes(config.groups, dataset.class_counts)
    population = {"runs": [str(w) for w in workdirs], "steps": [run.step for run in runs], "masks": pruning.masks}
    population |= {"random_share": pruning.random_share, "severity": severity, "limit": limit}
    report = population | make_report(dense, levels, predict.labels, groups) | {"class_names": dataset.names}
    test_counts = np.bincount(predict.labels, minlength=dataset.num_classes)
    for line in weak_figures(test_counts, groups, dataset.names):
        _log.warning("%s", line)
    write_json(output / "exemplars.json", report)
    draw_curves(output / "curves.png", report)
    rows = [(level.sparsity, examples(dense, level, predict.labels, SHOWN)) for level in levels]
    draw_sheet(output / "contact_sheet.png", predict.images, rows, report["groups"], report["class_names"])
    return report
