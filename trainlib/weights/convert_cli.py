"""What the converters of the two systems share: flags, the check of foreign weights, a workdir made of them."""

import argparse
import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from trainlib.core.errors import UsageError, UserError
from trainlib.run.checkpoints import CheckpointStore
from trainlib.run.workdir import open_workdir

Variables = Mapping[str, Any]


def add_source_flags(parser: argparse.ArgumentParser, config: str) -> None:
    """The checkpoint, --workdir and --config with its default."""
    parser.add_argument("checkpoint", nargs="?", help="weights of the original program")
    parser.add_argument("--workdir", required=True, help="folder to make, or with --to-torch the folder of a run")
    parser.add_argument("--config", default=config, help="config of the network")


def add_export_flags(parser: argparse.ArgumentParser, steps: str) -> None:
    """--to-torch, and --step with the steps that can be named."""
    parser.add_argument("--to-torch", metavar="FILE", help="write the workdir's network for the original program")
    parser.add_argument("--step", default="last", help=f"with --to-torch: {steps}")


def is_export(arguments: argparse.Namespace) -> bool:
    """Whether weights are written. Raises UsageError unless either a checkpoint or --to-torch is given."""
    if bool(arguments.checkpoint) == bool(arguments.to_torch):
        raise UsageError("give either a checkpoint to read, or --to-torch=FILE to write")
    return bool(arguments.to_torch)


def torch_shapes(
    like: Variables, to_state_dict: Callable[[Variables], Mapping[str, np.ndarray]], is_unused: Callable[[str], bool]
) -> dict[str, tuple[int, ...]]:
    """Shapes by name of what a state_dict must hold for variables such as `like`, which may be their `eval_shape`.

    Args:
        to_state_dict: makes arrays [...] by name of variables.
        is_unused: whether a name of the state_dict is not needed.
    """
    blank = {path: np.broadcast_to(np.float32(0), leaf.shape) for path, leaf in flatten_dict(dict(like)).items()}
    state = to_state_dict(unflatten_dict(blank))
    return {name: array.shape for name, array in state.items() if not is_unused(name)}


def make_workdir(
    workdir: str | os.PathLike,
    config: ConfigDict,
    target: Any,
    *,
    keep: Callable[[pathlib.Path], None] = lambda folder: None,
    **fields: Any,
) -> None:
    """Makes a workdir whose step 0 has the weights in `fields`; step and optimiser are zeros.

    Args:
        workdir: folder without checkpoints.
        config: kept in the folder.
        target: the `jax.eval_shape` of a training state, a dataclass.
        keep: writes what else belongs into the folder.
        fields: fields of the state.

    Raises:
        UserError: the folder has checkpoints, or cannot be written.
    """
    fresh = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), target)
    state = dataclasses.replace(fresh, **fields)
    with open_workdir(workdir, config) as folder, CheckpointStore(folder.checkpoints) as store:
        if store.latest_step() is not None:
            raise UserError(f"{workdir} has its own checkpoints; choose another --workdir")
        store.check_space(state)
        folder.keep_config()
        keep(folder.path)
        store.save(0, state)
