"""Weights of the original program, in and out.

  python -m sdclr_jax.convert CHECKPOINT.pt --workdir=DIR --config=configs/sdclr_cifar10_lt.py[:simclr]
  python -m sdclr_jax.convert --workdir=DIR --to-torch=FILE.pt [--step=last|N]

The first reads a PyTorch checkpoint of the pre-training (zip or stream format, or safetensors; no PyTorch needed,
nothing of the file is executed) and makes a workdir that evaluate and train take as their own. Head depth, backbone
and sets of BatchNorm must be the config's; override keys with --set KEY=VALUE. The second writes the network of a
workdir as a state_dict that the original program loads.
"""

import argparse
import dataclasses
import logging
import pathlib

import jax
import numpy as np
from ml_collections import ConfigDict

from sdclr_jax.learn.build import build_state, is_pruned
from sdclr_jax.learn.masks import full_masks
from sdclr_jax.learn.restore import load_run
from sdclr_jax.model.torch_names import from_state_dict, is_unused, to_state_dict, torch_shapes
from trainlib.core.config import load_config_file
from trainlib.core.errors import UsageError, UserError
from trainlib.core.outputs import require_file, require_folder
from trainlib.run.checkpoints import CheckpointStore
from trainlib.run.command import run_command
from trainlib.run.workdir import open_workdir
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
    weights = require_weights(str(checkpoint), torch_shapes(like), found, is_unused)
    variables = from_state_dict(weights, like)
    fresh = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), target)  # of step and optimiser
    masks = jax.tree.map(np.asarray, full_masks(variables["params"])) if is_pruned(config) else {}
    state = dataclasses.replace(fresh, masks=masks, **variables)
    with open_workdir(workdir, config) as folder, CheckpointStore(folder.checkpoints) as store:
        if store.latest_step() is not None:
            raise UserError(f"{workdir} has its own checkpoints; choose another --workdir")
        store.check_space(state)
        folder.keep_config()
        store.save(0, state)
    _log.info("%d arrays", len(weights))


def to_torch(workdir: str | pathlib.Path, path: str | pathlib.Path, step: str | int = "last") -> dict[str, np.ndarray]:
    """Writes a workdir's network as the original's state_dict (with `module.`); returns its arrays [...] by name."""
    path = require_file(path, "--to-torch")
    run = load_run(workdir, step)
    updates = (run.step, run.step * run.config.prune_bn_updates)
    state = {f"module.{name}": array for name, array in to_state_dict(run.variables, updates).items()}
    write_tensors(path, state)
    return state


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sdclr_jax.convert", description=__doc__)
    parser.add_argument("checkpoint", nargs="?", help="weights of the original program")
    parser.add_argument("--workdir", required=True, help="folder to make, or with --to-torch the folder of a run")
    parser.add_argument("--config", default="configs/sdclr_cifar10_lt.py", help="config of the network")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another value of a config key")
    parser.add_argument("--to-torch", metavar="FILE", help="write the workdir's network for the original program")
    parser.add_argument("--step", default="last", help="with --to-torch: last, or a step's number")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Converts and prints the path of the result."""
    if bool(arguments.checkpoint) == bool(arguments.to_torch):
        raise UsageError("give either a checkpoint to read, or --to-torch=FILE to write")
    if arguments.to_torch:
        state = to_torch(arguments.workdir, arguments.to_torch, arguments.step)
        print(f"{arguments.to_torch}: {len(state)} entries, under the names of the original's checkpoints")
        return
    from_torch(arguments.checkpoint, arguments.workdir, load_config_file(arguments.config, arguments.set))
    print(f"{arguments.workdir}: ready for evaluate and train")


if __name__ == "__main__":
    run_command(main, _parser())
