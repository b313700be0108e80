"""Conversion: weights of the original program as a run, and a run's as a state_dict of the original."""

import logging
import pathlib

import jax
import numpy as np
from ml_collections import ConfigDict

from sdclr_jax.default_config import is_pruned
from sdclr_jax.learn.build import build_state
from sdclr_jax.learn.masks import full_masks
from sdclr_jax.learn.restore import load_run
from sdclr_jax.model.torch_names import from_state_dict, is_unused, to_state_dict
from trainlib.core.outputs import require_file, require_folder
from trainlib.weights.conversion import make_workdir, torch_shapes
from trainlib.weights.torch_files import read_tensors, write_tensors
from trainlib.weights.weight_table import require_weights

_log = logging.getLogger(__name__)


def from_torch(checkpoint: str | pathlib.Path, workdir: str | pathlib.Path, config: ConfigDict) -> None:
    """Makes a workdir with the weights of a checkpoint of the original program as its step 0.

    Masks are not in such files: training draws them at its first epoch, evaluation does not use them.

    Args:
        checkpoint: PyTorch or safetensors file with the state_dict of network and head.
        workdir: folder without its own checkpoint.
        config: of the network, and of a later training.

    Raises:
        UserError: a damaged file, or a table of names and shapes that do not fit.
    """
    require_folder(workdir, "--workdir", make=False)
    found = read_tensors(checkpoint)
    target = jax.eval_shape(lambda: build_state(config, steps_per_epoch=1))
    like = {"params": target.params, "batch_stats": target.batch_stats}
    expected = torch_shapes(like, to_state_dict, is_unused)
    weights = require_weights(str(checkpoint), expected, found, is_unused)
    variables = from_state_dict(weights, like)
    masks = jax.tree.map(np.asarray, full_masks(variables["params"])) if is_pruned(config) else {}
    make_workdir(workdir, config, target, masks=masks, **variables)
    _log.info("%d arrays", len(weights))


def to_torch(workdir: str | pathlib.Path, path: str | pathlib.Path, step: str | int = "last") -> dict[str, np.ndarray]:
    """Writes a workdir's network as the original's state_dict (with `module.`); returns its arrays [...] by name."""
    path = require_file(path, "--to-torch")
    run = load_run(workdir, step)
    updates = (run.step, run.step * run.config.prune_bn_updates)
    state = {f"module.{name}": array for name, array in to_state_dict(run.variables, updates).items()}
    write_tensors(path, state)
    return state
