"""What a finished or running training leaves behind for evaluation and prediction, and how it is read back."""

import json
import pathlib
from typing import NamedTuple

from ml_collections import ConfigDict

from preprocess.labels.label_map import LabelMap, read_label_map, write_label_map
from preprocess.scene.params import HierarchyParams
from trainlib.core.errors import UserError
from trainlib.core.files import write_json
from trainlib.run.workdir import load_config
from trainlib.store import programs
from trainlib.store.checkpoints import CheckpointStore
from trainlib.store.named_arrays import fill, named_arrays
from vmnet_jax.data.scene_lookup import LABEL_MAP
from vmnet_jax.learn.network_settings import network_key

PREPROCESSING = "preprocessing.json"


class TrainedRun(NamedTuple):
    """A trained network and all that is needed to apply it to a new mesh."""

    config: ConfigDict
    label_map: LabelMap
    preprocessing: HierarchyParams
    params: dict  # of the scene files it was trained on
    units: str  # of the training meshes
    variables: dict  # {"params", "batch_stats"}
    step: int

    @property
    def up(self) -> str:
        """The up axis of the training meshes, or "auto"."""
        return self.params.get("up", "z")


def write_inputs(workdir: pathlib.Path, params: dict, label_map: LabelMap) -> None:
    """Keeps the label map and the preprocessing parameters next to the checkpoints."""
    write_label_map(workdir / LABEL_MAP, label_map)
    write_json(workdir / PREPROCESSING, dict(sorted(params.items())))


def trained_params(workdir: pathlib.Path) -> dict | None:
    """Preprocessing parameters of the scenes that a run has been trained on; None before its first start."""
    path = workdir / PREPROCESSING
    return json.loads(path.read_text()) if path.is_file() else None


def load_run(workdir: str | pathlib.Path, step: str | int = "last") -> TrainedRun:
    """Restores a run from its workdir.

    Args:
        workdir: folder of `python -m vmnet_jax.train`.
        step: "last", "best" (by validation mean IoU) or a step's number.

    Raises:
        UserError: no such folder, no checkpoint, damaged ones only, or weights of another network than the config's.
            The optimiser's arrays are not compared.
    """
    workdir = pathlib.Path(workdir)
    config = load_config(workdir)
    for name in (LABEL_MAP, PREPROCESSING):
        if not (workdir / name).is_file():
            raise UserError(
                f"{workdir}: no {name}; this is not a workdir of python -m vmnet_jax.train, or it never started"
            )
    label_map, params = read_label_map(workdir / LABEL_MAP), trained_params(workdir)
    with CheckpointStore(workdir / "checkpoints") as store:
        tree, found = store.read(step, only=("params", "batch_stats"))
    weights = named_arrays(tree)
    source = f"the checkpoint {store.directory / str(found)}"
    classes = len(label_map.names)

    def shapes() -> dict:
        from vmnet_jax.learn.build import variable_shapes

        return variable_shapes(config, classes)

    about = ["variable_shapes", list(config.features), network_key(config, classes)]
    weights = fill(programs.stored_shapes(about, shapes), weights, source)
    variables = {"params": weights["params"], "batch_stats": weights.get("batch_stats", {})}
    hierarchy = HierarchyParams.from_dict(params)
    return TrainedRun(config, label_map, hierarchy, params, params.get("units", "m"), variables, found)
