"""Row 22: SIGKILL at any moment of a training; the run started again ends with the uninterrupted run's bits."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from trainlib.store import checkpoints
from trainlib.store import manifest
from trainlib.store.checkpoints import CheckpointStore
from trainlib.store.manifest import verify

TARGET = {"w": np.zeros((64, 64), np.float32), "step": np.int32(0)}

MAINS = ["vmnet_jax.train", "sdclr_jax.train"]


def make_state(step):
    """The state of a run is a function of its step, so that a test can tell which one it got."""
    return {"w": np.random.default_rng(step).normal(size=(64, 64)).astype(np.float32), "step": np.int32(step)}


def assert_is_state(state, step):
    for name, value in make_state(step).items():
        np.testing.assert_array_equal(state[name], value)


def killed_until_done(start, module, arguments, workdir, kills, seed):
    """Starts the run up to `kills` times and kills it at a random moment after its first words; then lets it end.

    Returns how many of the starts were killed. The start, the compilation and each step have the same chances.
    """
    rng = random.Random(seed)
    command = [module, *arguments, f"--workdir={workdir}"]
    killed = 0
    for _ in range(kills):
        program = start(*command, pause_in="trainlib.run.loop:TrainRun.finish", calls=(rng.randint(1, 4),))
        program.wait_for(rng.choice(["steps an epoch", "Compiling a step", "pausing in MetricWindow"]), or_end=True)
        time.sleep(rng.uniform(0, 0.2))
        program.signal(signal.SIGKILL)
        if program.finish() == 0:
            break
        killed += 1
    last = start(*command)
    assert last.finish() == 0, last.err
    return killed


@pytest.mark.parametrize("module", MAINS)
def test_22_killed_at_random_moments(start, arguments, finished, assert_same_run, tmp_path, module):
    assert killed_until_done(start, module, arguments[module], tmp_path, 3, seed=0) > 0
    assert_same_run(tmp_path, finished(module))


@pytest.mark.long
@pytest.mark.parametrize(
    ("module", "longer"), [("vmnet_jax.train", "num_steps=40"), ("sdclr_jax.train", "epochs=20")], ids=MAINS
)
def test_22_killed_ten_times(start, run, arguments, assert_same_run, tmp_path, module, longer):
    command = [*arguments[module], f"--config.{longer}"]
    assert killed_until_done(start, module, command, tmp_path / "killed", 10, seed=1) == 10
    code, program = run(module, *command, f"--workdir={tmp_path / 'whole'}")
    assert code == 0, program.err
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


class Kill(BaseException):
    """Ends a save at a chosen point, without any clean-up."""


@pytest.mark.parametrize("saved", [30, 20], ids=["a new step", "a step saved again"])
def test_22_a_kill_at_each_operation_leaves_whole_checkpoints_only(tmp_path, monkeypatch, saved):
    """A save is ended before each write to the disk (outside Orbax) in turn; the run that continues has step 20."""
    points = 0
    finished = False
    while not finished:
        folder = tmp_path / str(points)
        with CheckpointStore(folder, keep=2) as store:
            store.save(10, make_state(10))
            store.save(20, make_state(20))
            with monkeypatch.context() as patch:
                end_before(patch, points)
                try:
                    finished = store.save(saved, make_state(saved))
                except Kill:
                    points += 1
        with CheckpointStore(folder, keep=1) as store:
            store.check_space(TARGET)  # what a run does first
            for step in store.steps():
                verify(folder / str(step))
            state, step = store.restore(TARGET)
            assert step >= 20
            assert_is_state(state, step)
            store.save(40, make_state(40))
            assert [path.name for path in folder.iterdir()] == ["40"]
    assert points == 5  # manifest, two renames, a removal, a sync


def end_before(patch, point):
    """Raises Kill before the manifest, rename, removal or sync number `point`, from 0."""
    count = iter(range(10**6))

    def counted(function):
        def call(*args, **kwargs):
            if next(count) >= point:
                raise Kill
            return function(*args, **kwargs)

        return call

    patch.setattr(manifest, "write_json", counted(manifest.write_json))
    patch.setattr(checkpoints, "sync", counted(checkpoints.sync))
    patch.setattr(pathlib.Path, "rename", counted(pathlib.Path.rename))
    patch.setattr(shutil, "rmtree", counted(shutil.rmtree))


def save_for_ever(directory):
    """A run that saves at each step, resumed from the last one; tells its steps."""
    with CheckpointStore(directory, keep=2) as store:
        start = 0
        if store.latest_step() is not None:
            state, start = store.restore(TARGET, strict=True)
            assert_is_state(state, start)
        for step in range(start + 1, 10**6):
            store.save(step, make_state(step), metric=-step)
            print(step, flush=True)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.long)])
def test_22_sigkill_while_saving(tmp_path, kills):
    code = f"import runpy, sys; runpy.run_path({__file__!r})['save_for_ever'](sys.argv[1])"
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    resumed_from = -1
    rng = random.Random(0)
    for _ in range(kills):
        run = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
        )
        told = int(run.stdout.readline())
        assert told > resumed_from
        run.stdout.readline()
        time.sleep(rng.uniform(0, 0.06))
        run.send_signal(signal.SIGKILL)
        told = max([told + 1, *map(int, run.stdout.read().split())])
        run.stdout.close()
        assert run.wait() == -signal.SIGKILL
        with CheckpointStore(tmp_path) as store:
            state, step = store.restore(TARGET, strict=True)
            assert step in (told, told + 1)
            assert_is_state(state, step)
        resumed_from = step
