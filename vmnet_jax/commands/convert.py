"""Conversion: weights of the original program as a run, and a run's as a state_dict of the original."""

import logging
import pathlib

import jax
import numpy as np
from ml_collections import ConfigDict

from preprocess.labels.label_map import LabelMap, scannet20
from preprocess.scene.params import HierarchyParams
from trainlib.core.errors import UserError
from trainlib.core.outputs import require_file, require_folder
from trainlib.weights.conversion import make_workdir, torch_shapes
from trainlib.weights.torch_files import read_tensors, write_tensors
from trainlib.weights.weight_table import require_weights
from vmnet_jax.learn.build import build_state
from vmnet_jax.learn.network_settings import is_published
from vmnet_jax.learn.restore import load_run, write_inputs
from vmnet_jax.model.torch_names import from_state_dict, is_unused, to_state_dict, with_unused

_log = logging.getLogger(__name__)

HEAD = "Euc_branch.output_layer.bias"


def from_torch(
    checkpoint: str | pathlib.Path,
    workdir: str | pathlib.Path,
    config: ConfigDict,
    label_map: LabelMap | None = None,
    preprocessing: dict | None = None,
) -> None:
    """Makes a workdir with the weights of a checkpoint of the original program as its step 0.

    Args:
        checkpoint: PyTorch or safetensors file with the state_dict of the whole network.
        workdir: folder without its own checkpoint.
        config: of the network and of a later training; `layer_norm_scope` becomes "batch", as the original computes.
        label_map: of the classes, in the order of the network's outputs; ScanNet's 20 if not given.
        preprocessing: content of a workdir's preprocessing.json; the published parameters if not given.

    Raises:
        UserError: a damaged file, a table of names and shapes that do not fit, another number of classes.
    """
    _check_network(config)
    require_folder(workdir, "--workdir", make=False)
    found = read_tensors(checkpoint)
    label_map = label_map or scannet20()
    classes = len(found[HEAD]) if HEAD in found else len(label_map.names)
    if classes != len(label_map.names):
        raise UserError(
            f"{checkpoint} has {classes} classes, the label map {len(label_map.names)}: name them with --label_map"
        )
    config.layer_norm_scope = "batch"
    target = jax.eval_shape(lambda: build_state(config, classes))
    like = {"params": target.params, "batch_stats": target.batch_stats}
    expected = torch_shapes(like, to_state_dict, is_unused)
    variables = from_state_dict(require_weights(str(checkpoint), expected, found, is_unused))
    params = preprocessing or {**HierarchyParams().to_dict(), "units": "m"}
    make_workdir(workdir, config, target, keep=lambda folder: write_inputs(folder, params, label_map), **variables)
    _log.info("%d arrays, %d classes; layer_norm_scope is 'batch', as the original computes", len(expected), classes)
    _log.info("Meshes will be preprocessed with voxel_size %g, cells %s", params["voxel_size"], params["cells"])


def to_torch(workdir: str | pathlib.Path, path: str | pathlib.Path, step: str | int = "last") -> dict[str, np.ndarray]:
    """Writes the network of a workdir as a state_dict of the original program; returns its arrays [...] by name."""
    path = require_file(path, "--to-torch")
    run = load_run(workdir, step)
    _check_network(run.config)
    state = with_unused(to_state_dict(run.variables), run.step)
    write_tensors(path, state)
    if run.config.layer_norm_scope != "batch":
        _log.warning(
            "This network normalises each scene by itself (layer_norm_scope %r); the original normalises the whole "
            "batch: the same for one scene at a time",
            run.config.layer_norm_scope,
        )
    return state


def _check_network(config: ConfigDict) -> None:
    """Raises UserError for networks that the original program does not have."""
    if not is_published(config):
        raise UserError(
            f"the original program has no network of model {config.model!r} and operator {config.operator!r}; only "
            "'vmnet' with 'scalar' can be converted"
        )
