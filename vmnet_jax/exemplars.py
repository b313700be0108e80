"""Which vertices pruning makes a network mislabel: python -m vmnet_jax.exemplars --workdir=DIR --output=DIR

The network's smallest weights (convolutions and linear layers but the classifiers, one threshold for all) are set to
zero, nothing is trained after that, and every vertex is labelled again. Forgotten is a vertex that the dense network
labels rightly and the pruned ones do not; exemplars are all vertices whose modal label over the pruned networks is not
the dense one's. The pruned networks of a sparsity are --masks masks of one network: by magnitude alone, and others of
which a part (--random_share) is drawn at random. Writes exemplars.json, by_class.png and pages/SCENE.html.
"""

import argparse
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from trainlib.analysis.pruning import Path
from trainlib.analysis.pruning_sweep import PruningSweep, add_pruning_flags, exemplar_options, modal_labels
from trainlib.core.cli import natural
from trainlib.core.errors import UserError
from trainlib.core.files import write_json
from trainlib.core.outputs import require_folder
from trainlib.run.command import run_command
from vmnet_jax.data.scenes import SceneFolder, read_split
from vmnet_jax.learn.restore import TrainedRun, load_run
from vmnet_jax.learn.step import is_head
from vmnet_jax.prediction.predictor import Predictor
from vmnet_jax.report.exemplar_report import Forgotten, as_lines, draw_by_class, make_report, write_scene_page

_log = logging.getLogger(__name__)

DEFAULT = PruningSweep()


def is_prunable(path: Path) -> bool:
    """Whether a path of the parameter tree is the kernel of a convolution or linear layer, but not of a classifier."""
    return path[-1] == "kernel" and not is_head(path)


def make_labeller(
    run: TrainedRun, scene_folder: SceneFolder, names: list[str], max_voxels: int
) -> Callable[[Any], np.ndarray]:
    """A function from parameters to the labels of all vertices, int16 [V], scene by scene; it compiles once."""
    predictor = Predictor(run, max_voxels)
    plan = predictor.plan(scene_folder, names)

    def label(params: Any) -> np.ndarray:
        scored = predictor.scores(plan, params=params)
        return np.concatenate([scores.argmax(1).astype(np.int16) for _, scores in scored])

    return label


def run_exemplars(
    workdir: str | pathlib.Path,
    output: str | pathlib.Path,
    pruning: PruningSweep = DEFAULT,
    *,
    shown: float | None = None,
    step: str | int = "last",
    scenes: str | None = None,
    limit: int = 0,
    max_voxels: int = 0,
    allow_missing: bool = False,
    pages: int = 20,
) -> dict:
    """Labels the validation scenes with every network, writes report, chart and pages into `output`; the report.

    Args:
        pruning: the pruned networks.
        shown: the sparsity of the pages, one of the sparsities; None for the middle one, the smaller of two.
        step: "last", "best" or a step's number.
        scenes: folder of preprocessed scenes instead of the config's; the config's lists name those to take.
        limit: number of scenes; 0 for all.
        max_voxels: scenes with more are seen in overlapping tiles; 0 for what the memory holds.
        allow_missing: skip scenes of the lists that are not in the folder.
        pages: how many scenes, from the first on, get a page.
    """
    pruning, output = pruning.checked(), require_folder(output)
    shown = pruning.sparsities[(len(pruning.sparsities) - 1) // 2] if shown is None else shown
    if shown not in pruning.sparsities:
        raise UserError(f"--shown is {shown:g}; the sparsities are {', '.join(f'{s:g}' for s in pruning.sparsities)}")
    run = load_run(workdir, step)
    config = run.config
    scene_folder = SceneFolder(scenes or config.scenes, config.cache_gib)
    names = read_split(scene_folder.path, config.train_list, config.val_list, config.val_fraction, allow_missing).val
    names = names[: limit or None]
    if not names:
        raise UserError(f"{scene_folder.path} has no validation scene")
    scene_folder.check(names, run.params)
    label, params = make_labeller(run, scene_folder, names, max_voxels), run.variables["params"]
    dense = label(params)
    _log.info("dense: %d scenes", len(names))
    predictions = pruning.predict([(params, config.seed, label)], is_prunable)
    levels = [Forgotten(sparsity, np.stack(labels)) for sparsity, labels in predictions]
    report = {"workdir": str(workdir), "step": run.step, "scenes": names}
    report |= {"masks": pruning.masks, "random_share": pruning.random_share}
    truth = np.concatenate([scene_folder(name).labels for name in names])
    report |= make_report(dense, levels, truth, run.label_map.names)
    write_json(output / "exemplars.json", report)
    draw_by_class(output / "by_class.png", report)
    pruned = modal_labels(levels[pruning.sparsities.index(shown)].labels, len(run.label_map.names))
    ends = np.cumsum([len(scene_folder(name).labels) for name in names])[:-1]
    parts = zip(names[:pages], np.split(dense, ends), np.split(pruned, ends))
    for name, before, after in parts:
        page = output / "pages" / f"{name}.html"
        write_scene_page(page, scene_folder(name), before, after, sparsity=shown, label_map=run.label_map)
    return report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vmnet_jax.exemplars", description=__doc__)
    parser.add_argument("--workdir", required=True, help="folder of the training run")
    parser.add_argument("--output", required=True, help="folder for report, chart and pages")
    parser.add_argument("--step", default="last", help="last, best, or a step's number")
    parser.add_argument("--scenes", help="folder of preprocessed scenes instead of the config's")
    parser.add_argument("--limit", type=natural, default=0, help="only this many validation scenes; 0: all")
    add_pruning_flags(parser)
    parser.add_argument("--shown", type=float, help="the sparsity of the pages; default: the middle one")
    parser.add_argument("--max_voxels", type=natural, default=0, help="tile larger scenes; 0: what the memory holds")
    parser.add_argument("--allow_missing", action="store_true", help="skip listed scenes that are not on disk")
    parser.add_argument("--pages", type=natural, default=20, help="scenes that get a page")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the shares and the paths of the files."""
    report = run_exemplars(**exemplar_options(arguments))
    print("\n".join(as_lines(report)))
    print(f"Report, chart and pages: {arguments.output}")


if __name__ == "__main__":
    run_command(main, _parser())
