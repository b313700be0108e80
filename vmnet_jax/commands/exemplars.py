"""Exemplars: the vertices that pruned networks label otherwise."""

import logging
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from trainlib.analysis.pruned_networks import predictions
from trainlib.analysis.pruning import Path
from trainlib.analysis.pruning_sweep import PruningSweep, modal_labels
from trainlib.core.errors import UserError
from trainlib.core.files import write_json
from trainlib.core.outputs import require_folder
from vmnet_jax.data.scenes import SceneFolder, read_split
from vmnet_jax.learn.restore import TrainedRun, load_run
from vmnet_jax.learn.step import is_head
from vmnet_jax.prediction.predictor import Predictor
from vmnet_jax.report.exemplar_report import Forgotten, draw_by_class, make_report, write_scene_page

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
    found = predictions(pruning, [(params, config.seed, label)], is_prunable)
    levels = [Forgotten(sparsity, np.stack(labels)) for sparsity, labels in found]
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
