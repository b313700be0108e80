"""What a training leaves behind for evaluation, and how it is read back."""

import pathlib
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from sdclr_jax.default_config import MARKS
from sdclr_jax.learn.build import build_model, build_state, is_pruned
from trainlib.run.workdir import load_config, require_settings
from trainlib.store import programs
from trainlib.store.checkpoints import CheckpointStore
from trainlib.store.named_arrays import fill, named_arrays


class TrainedRun(NamedTuple):
    """A pre-trained network: the run's config, {"params", "batch_stats"}, the masks ({} for SimCLR), the step."""

    config: ConfigDict
    variables: dict[str, Any]
    masks: Any
    step: int


def load_run(workdir: str | pathlib.Path, step: str | int = "last") -> TrainedRun:
    """Restores a run from its workdir at `step`, which is "last" or a number.

    Raises UserError for no such folder, no checkpoint, or damaged ones only.
    """
    workdir = pathlib.Path(workdir)
    config = load_config(workdir)
    require_settings(config, MARKS, f"the run in {workdir}", "sdclr_jax")
    about = ["build_state", config.view_size, is_pruned(config), repr(build_model(config))]
    shapes = programs.stored_shapes(about, lambda: jax.eval_shape(lambda: build_state(config, steps_per_epoch=1)))
    wanted = {name: shapes.get(name, {}) for name in ("params", "batch_stats", "masks")}
    with CheckpointStore(workdir / "checkpoints") as store:
        tree, found = store.read(step, only=wanted)
    state = fill(wanted, named_arrays(tree), f"the checkpoint {store.directory / str(found)}")
    return TrainedRun(config, {name: state[name] for name in ("params", "batch_stats")}, state["masks"], found)
