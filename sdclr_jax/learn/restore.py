"""What a training leaves behind for evaluation, and how it is read back."""

import pathlib
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from sdclr_jax.default_config import MARKS
from sdclr_jax.learn.build import build_state
from trainlib.run.checkpoints import CheckpointStore
from trainlib.run.workdir import load_config, require_settings


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
    target = jax.eval_shape(lambda: build_state(config, steps_per_epoch=1))
    with CheckpointStore(workdir / "checkpoints") as store:
        state, found = store.restore(target, step)
    return TrainedRun(config, {"params": state.params, "batch_stats": state.batch_stats}, state.masks, found)
