"""Evaluation: the scores of a trained network on the scenes of a split."""

import pathlib

import numpy as np

from preprocess.labels.label_map import IGNORED
from trainlib.core.errors import UserError
from trainlib.core.outputs import require_folder
from trainlib.core.text import pluralize
from vmnet_jax.data.scenes import SceneFolder, read_split
from vmnet_jax.learn.inference import warn_of_single_scenes
from vmnet_jax.learn.metrics import confusion
from vmnet_jax.prediction.predictor import load
from vmnet_jax.report.report import scene_figures, summary, write_report
from vmnet_jax.report.scene_views import SceneViews

SPLITS = {"train": "Training scenes", "val": "Validation scenes", "all": "All scenes"}


def evaluate(
    workdir: str | pathlib.Path,
    *,
    step: str | int = "last",
    votes: int = 1,
    split: str = "val",
    scenes: str | None = None,
    max_buckets: int = 3,
    max_voxels: int = 0,
    allow_missing: bool = False,
    pages: int = 20,
    scenes_per_batch: int = 1,
    read_out: str | None = None,
) -> tuple[dict, np.ndarray]:
    """Evaluates a run on its validation (or training) scenes and writes `eval/step_S_SPLIT_votes_V/` into the workdir.

    With `scenes_per_batch` of N above 1 the folder's name ends with `_batches_of_N`.

    Args:
        step: "last", "best" or a step's number.
        votes: 1 for the unaugmented placement, N > 1 for the sum over N random rigid ones.
        split: "val" or "train", as the run's config defines them, or "all" for every scene of the folder.
        scenes: folder of preprocessed scenes instead of the config's.
        max_voxels: scenes with more voxels at level 0 are seen in overlapping tiles; 0 for what the memory holds.
        allow_missing: skip scenes of the lists that are not in the folder.
        pages: how many scenes, from the first on, get a page and a row of the contact sheet.
        scenes_per_batch: consecutive scenes of the list that the network sees together. It matters for a network with
            `layer_norm_scope="batch"` only, whose scores of a scene depend on its batch.
        read_out: one of `vmnet_jax.prediction.choices.READ_OUTS`; None for the config's.

    Returns:
        the summary (see `vmnet_jax.report.report.summary`) and the confusion int64 [K predicted, K true].
    """
    for name, value, least in (("votes", votes, 1), ("scenes_per_batch", scenes_per_batch, 1), ("pages", pages, 0)):
        if value < least:
            raise UserError(f"{name} is {value}, it must be at least {least}")
    predictor = load(workdir, step, max_voxels, scenes_per_batch, read_out)
    run, config = predictor.run, predictor.run.config
    folder = require_folder(report_folder(workdir, run.step, split, votes, scenes_per_batch), "the report's folder")
    scene_folder = SceneFolder(scenes or config.scenes, config.cache_gib)
    lists = read_split(scene_folder.path, config.train_list, config.val_list, config.val_fraction, allow_missing)
    names = {"train": lists.train, "val": lists.val, "all": sorted({*lists.train, *lists.val})}[split]
    if not names:
        raise UserError(f"{scene_folder.path} has no scenes of the split {split}")
    scene_folder.check_params(names, run.params)
    plan = predictor.plan(scene_folder, names, votes, max_buckets)
    warn_of_single_scenes(config, scenes_per_batch)
    views = SceneViews(folder, f"{SPLITS[split]}, step {run.step}, {pluralize(votes, 'vote')}", run.label_map, pages)
    label_names, tables = run.label_map.names, []
    for name, (_, scores) in zip(names, predictor.scores(plan), strict=True):
        scene = scene_folder(name)
        labels = np.full(len(scores), IGNORED) if scene.labels is None else scene.labels
        tables.append(confusion(scores.argmax(1), labels, len(label_names)))
        views.add(name, scene, scores / votes, tables[-1])
    views.close()
    table = np.sum(tables, axis=0, dtype=np.int64)
    result = {"step": run.step, "split": split, "votes": votes, "scenes_per_batch": scenes_per_batch, "scenes": names}
    result |= summary(table, label_names)
    result["by_scene"] = [{"name": name, **scene_figures(one)} for name, one in zip(names, tables)]
    write_report(folder, result, table, label_names)
    return result, table


def report_folder(
    workdir: str | pathlib.Path, step: int, split: str, votes: int, scenes_per_batch: int = 1
) -> pathlib.Path:
    """Where an evaluation's report is saved."""
    batches = "" if scenes_per_batch == 1 else f"_batches_of_{scenes_per_batch}"
    return pathlib.Path(workdir) / "eval" / f"step_{step}_{split}_votes_{votes}{batches}"
