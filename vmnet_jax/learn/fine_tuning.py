"""The weights that a training begins with when it continues another run's."""

import logging
import pathlib

from flax.traverse_util import flatten_dict, unflatten_dict

from preprocess.labels.label_map import LabelMap, read_label_map
from trainlib.run.workdir import load_config
from trainlib.store.checkpoints import CheckpointStore
from trainlib.weights.weight_table import require_weights
from vmnet_jax.data.scene_lookup import LABEL_MAP
from vmnet_jax.learn.restore import trained_params
from vmnet_jax.learn.step import TrainState, is_head

_log = logging.getLogger(__name__)


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
