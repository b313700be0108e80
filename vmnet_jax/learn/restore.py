"""What a finished or running training leaves behind for evaluation and prediction, and how it is read back."""

import json
import logging
import pathlib
from typing import NamedTuple

from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from preprocess.labels.label_map import LabelMap, read_label_map, write_label_map
from preprocess.scene.hierarchy import HierarchyParams
from trainlib.core.errors import UserError
from trainlib.core.files import write_json
from trainlib.run.checkpoints import CheckpointStore
from trainlib.run.named_arrays import fill
from trainlib.run.workdir import load_config
from trainlib.weights.weight_table import require_weights
from vmnet_jax.learn.build import variable_shapes
from vmnet_jax.learn.step import TrainState, is_head

_log = logging.getLogger(__name__)

LABEL_MAP, PREPROCESSING = "label_map.csv", "preprocessing.json"


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


def initial_weights(workdir: str | pathlib.Path, state: TrainState, label_map: LabelMap | None = None) -> TrainState:
    """A fresh state with the weights of another run (its last checkpoint), for fine-tuning.

    The two classifiers are taken only if the other run has the same classes, by name and order. Otherwise they stay as
    they are in `state`. Without `label_map`, the classes of `state`, or without the other run's map only the numbers of
    classes are compared.

    Raises:
        UserError: a table of all other arrays that differ in name or shape.
    """
    workdir = pathlib.Path(workdir)
    load_config(workdir)
    with CheckpointStore(workdir / "checkpoints") as store:
        tree, step = store.read()
    own = {"params": flatten_dict(state.params), "batch_stats": flatten_dict(state.batch_stats)}
    found = {name: flatten_dict(tree.get(name, {})) for name in own}
    fresh = {path for path in own["params"] if is_head(path)} & found["params"].keys()
    others = _other_classes(workdir, label_map)
    if not others:
        fresh = {path for path in fresh if found["params"][path].shape != own["params"][path].shape}
    for name in own:
        shapes = {"/".join(path): leaf.shape for path, leaf in own[name].items() if path not in fresh}
        there = {"/".join(path): leaf for path, leaf in found[name].items() if path not in fresh}
        require_weights(f"{workdir} (step {step})", shapes, there, unused=lambda _: False)
        own[name] |= {path: leaf for path, leaf in found[name].items() if path not in fresh}
    params = trained_params(workdir)
    seen = f"; it was trained on voxels of {params['voxel_size']:g} {params.get('units', 'm')}" if params else ""
    kept = "all of its weights" if not fresh else "its weights but for the classifiers, whose classes are others"
    _log.info("Beginning with %s, step %d: %s%s%s", workdir, step, kept, others, seen)
    return state.replace(**{name: unflatten_dict(arrays) for name, arrays in own.items()})


def _other_classes(workdir: pathlib.Path, label_map: LabelMap | None) -> str:
    """How the classes of another run differ from these, for the log; "" where they do not or where it is not known."""
    path = workdir / LABEL_MAP
    if label_map is None or not path.is_file():
        return ""
    theirs = read_label_map(path).names
    if theirs == label_map.names:
        return ""
    pairs = [f"{there}, here {here}" for there, here in zip(theirs, label_map.names) if there != here]
    first = f"; the first that differs is there {pairs[0]}" if pairs else ""
    return f" ({len(theirs)} classes there, {len(label_map.names)} here{first})"


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
        tree, found = store.read(step)
    weights = flatten_dict({name: tree[name] for name in ("params", "batch_stats") if name in tree})
    source = f"the checkpoint {store.directory / str(found)}"
    weights = fill(variable_shapes(config, len(label_map.names)), weights, source)
    variables = {"params": weights["params"], "batch_stats": weights.get("batch_stats", {})}
    hierarchy = HierarchyParams.from_dict(params)
    return TrainedRun(config, label_map, hierarchy, params, params.get("units", "m"), variables, found)
