"""What a finished or running training leaves behind for evaluation and prediction, and how it is read back."""

import json
import os
import pathlib
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from preprocess.hierarchy import HierarchyParams
from preprocess.labels import LabelMap, read_label_map, write_label_map
from trainlib.checkpoints import CheckpointStore
from trainlib.errors import UserError
from trainlib.workdir import load_config
from vmnet_jax.build import build_state

LABEL_MAP, PREPROCESSING = "label_map.csv", "preprocessing.json"


class TrainedRun(NamedTuple):
    """A trained network and all that is needed to apply it to a new mesh."""

    config: ConfigDict
    label_map: LabelMap
    preprocessing: HierarchyParams
    units: str  # of the training meshes
    variables: dict  # {"params", "batch_stats"}
    step: int


def write_inputs(workdir: pathlib.Path, params: dict, label_map: LabelMap) -> None:
    """Keeps the label map and the preprocessing parameters beside the checkpoints."""
    write_label_map(workdir / LABEL_MAP, label_map)
    partial = workdir / (PREPROCESSING + ".partial")
    partial.write_text(json.dumps(params, indent=1, sort_keys=True))
    os.replace(partial, workdir / PREPROCESSING)


def load_run(workdir: str | pathlib.Path, step: str | int = "last") -> TrainedRun:
    """Restores a run from its workdir.

    Args:
      workdir: folder of `python -m vmnet_jax.train`.
      step: "last", "best" (by validation mean IoU) or a step's number.

    Raises:
      UserError: no such folder, no checkpoint, or damaged ones only.
    """
    workdir = pathlib.Path(workdir)
    config = load_config(workdir)
    for name in (LABEL_MAP, PREPROCESSING):
        if not (workdir / name).is_file():
            raise UserError(
                f"{workdir}: no {name}; this is no workdir of python -m vmnet_jax.train, or it never started"
            )
    label_map = read_label_map(workdir / LABEL_MAP)
    params = json.loads((workdir / PREPROCESSING).read_text())
    target = jax.eval_shape(lambda: build_state(config, len(label_map.names)))
    with CheckpointStore(workdir / "checkpoints") as store:
        state, found = store.restore(target, step)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    hierarchy = HierarchyParams.from_dict(params)
    return TrainedRun(config, label_map, hierarchy, params.get("units", "m"), variables, found)
