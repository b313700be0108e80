"""What the converters of the two systems share: the shapes that foreign weights must have, a workdir made of them."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from trainlib.core.errors import UserError
from trainlib.run.workdir import open_workdir
from trainlib.store.checkpoints import CheckpointStore

Variables = Mapping[str, Any]


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
