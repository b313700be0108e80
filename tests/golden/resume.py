"""Runs of both systems that were stopped in the middle: `resume` continues them on 1, 2 and 4 simulated devices.

RUN.zip holds the folder of a run that a signal stopped on one device, resumed.json what it ends with. VMNet is the
real network with narrow layers, SDCLR a network of one convolution (the smallest real one would fill megabytes).

As a program, `python -m tests.golden.resume FOLDER` continues the runs of FOLDER and prints what they end with.
"""

import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from unittest import mock

import jax
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict

import sdclr_jax
import sdclr_jax.learn.build
import vmnet_jax
from tests.faults.small_mains import SmallContrastiveNet
from tests.golden import configs
from tests.golden.files import ROOT, digest, unpack
from trainlib.core.errors import Stopped

DEVICES = (1, 2, 4)
STOPPED_AFTER = {"vmnet": 3, "sdclr": 4}
TRAIN = {"vmnet": vmnet_jax.train_and_evaluate, "sdclr": sdclr_jax.train_and_evaluate}


def config_of(run: str) -> ConfigDict:
    """The config of a run; its paths are relative to the folder that holds the scenes and the run.

    VMNet: six steps of four of four scenes, one for validation. SDCLR: three epochs of 40 digits, 16, 16 and 8; step 4
    is the first of the second epoch, so the masks are read from the checkpoint.
    """
    if run == "vmnet":
        config = configs.load("vmnet_meshes", "smoke")
        config.scenes, config.train_list, config.val_list = "scenes", "scenes/train.txt", "scenes/val.txt"
        config.widths, config.geo_width = (4,) * len(config.widths), 4
        config.batch_size, config.num_steps, config.save_every = 4, 6, 6
        config.learning_rate = 0.01
        return config
    config = configs.load("sdclr_digits_lt", "smoke")
    config.train_limit, config.batch_size, config.epochs, config.projection_size = 40, 16, 3, 16
    config.save_every_epochs = 3
    config.learning_rate = 0.05
    return config


def train(run: str) -> dict:
    """Starts or continues a run in the folder of its name in the current one.

    Returns:
      "arrays": {name: "DIGEST NORM"} of all parameters, statistics and masks, and of what the optimiser holds, in
      order; "metrics": the lines of metrics.jsonl, without their time.
    """
    with mock.patch.object(sdclr_jax.learn.build, "ContrastiveNet", SmallContrastiveNet):
        state = TRAIN[run](config_of(run), run)
    lines = [json.loads(line) for line in pathlib.Path(run, "metrics.jsonl").read_text().splitlines()]
    metrics = [{name: value for name, value in line.items() if name != "time"} for line in lines]
    arrays = {name: f"{digest(array)} {float(np.linalg.norm(array.astype(float)))!r}" for name, array in _arrays(state)}
    return {"arrays": arrays, "metrics": metrics}


def train_and_stop(run: str) -> None:
    """Starts a run as `train` does; a signal stops it after step STOPPED_AFTER."""

    class Signal(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith(f"step {STOPPED_AFTER[run]}/"):
                os.kill(os.getpid(), signal.SIGTERM)

    handler, logger = Signal(), logging.getLogger("trainlib.run.loop")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        train(run)
    except Stopped:
        return
    finally:
        logger.removeHandler(handler)
    raise RuntimeError(f"{run} was not stopped after step {STOPPED_AFTER[run]}")


def resume(folder: pathlib.Path, devices: int) -> dict[str, dict]:
    """{run: what `train` returns} for both stored runs, continued on that many devices by a process in `folder`."""
    unpack("scenes.zip", folder / "scenes")
    for run in TRAIN:
        unpack(f"{run}.zip", folder / run)
    return in_process(folder, devices)


def in_process(folder: pathlib.Path, devices: int, *flags: str) -> dict[str, dict]:
    """What `python -m tests.golden.resume FOLDER` prints, on that many simulated devices."""
    environment = {
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "jax"),
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # the steps compile in a third of the time
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "tests.golden.resume", *flags, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} on {devices} devices:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _arrays(state: object) -> Iterator[tuple[str, np.ndarray]]:
    for part in ("params", "batch_stats", "masks"):
        flat = traverse_util.flatten_dict(getattr(state, part, {}), sep="/")
        yield from ((f"{part}/{name}", np.asarray(array)) for name, array in sorted(flat.items()))
    for index, array in enumerate(jax.tree.leaves(state.opt_state)):
        yield f"optimiser/{index}", np.asarray(array)


def main(arguments: list[str]) -> None:
    """`[--stop] FOLDER`; with --stop both runs are started and stopped, nothing is printed of them."""
    os.chdir(arguments[-1])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    work = train_and_stop if "--stop" in arguments else train
    print(json.dumps({run: work(run) for run in TRAIN}))


if __name__ == "__main__":
    main(sys.argv[1:])
