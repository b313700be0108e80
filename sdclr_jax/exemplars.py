"""What pruning makes a network forget: python -m sdclr_jax.exemplars --run=WORKDIR [WORKDIR ...] --output=DIR

Pruning-identified exemplars (Hooker et al., 2019): test images whose modal label over dense networks differs from that
over networks of which a share of the weights (--sparsities) is pruned. The networks are the runs (of one experiment and
split, with several seeds), and for each run and sparsity --masks masks: by magnitude alone, and others of which a part
of the pruned share (--random_share) is drawn at random. Every network, dense or pruned, gets its own BatchNorm
statistics and its own linear classifier from the same labelled images; nothing else is trained after pruning.
Writes exemplars.json, curves.png and contact_sheet.png.
"""

import argparse
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
from sdclr_jax.report.exemplar_report import Predictions, as_lines, draw_curves, draw_sheet, examples, make_report
from trainlib.analysis.pruning_sweep import PruningSweep, add_pruning_flags, exemplar_options
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
    pruned = pruning.predict(networks, is_backbone_conv)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sdclr_jax.exemplars", description=__doc__)
    about = "runs that differ in their seed"
    parser.add_argument("--run", dest="workdirs", nargs="+", required=True, metavar="WORKDIR", help=about)
    parser.add_argument("--output", required=True, help="folder for report and pictures")
    parser.add_argument("--step", default="last", help="last, or a step's number")
    add_pruning_flags(parser)
    parser.add_argument("--severity", type=int, choices=range(1, 6), default=3, help="of the corruptions, 1 .. 5")
    parser.add_argument(
        "--limit", type=natural, default=1000, help="at most this many training and test images; 0 for all"
    )
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the shares and the paths of the files."""
    report = run_exemplars(**exemplar_options(arguments))
    print("\n".join(as_lines(report)))
    print(f"Report and pictures: {arguments.output}")


if __name__ == "__main__":
    run_command(main, _parser())
