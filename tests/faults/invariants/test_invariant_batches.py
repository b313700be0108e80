"""Every placement that training draws is used: a batch that is larger than planned takes a larger bucket, in all
processes, on any number of devices, and again after a stop."""

import dataclasses
import re
import shutil

import numpy as np
import pytest

from preprocess.labels.label_map import write_label_map
from preprocess.scene.scene_file import write_scene
from tests.aligned_room import LOW_AND_HIGH, aligned_room
from tests.faults.runs.test_processes import Pair

LARGER = "A larger batch than planned, of the scenes "


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Of `vmnet_jax.train`, without --workdir: a large room along the axes among 55 small ones, one bucket planned.

    With this seed it is in the 25th batch, just after those that the plan has seen, and needs more than it plans for.
    """
    folder = tmp_path_factory.mktemp("aligned")
    write_label_map(folder / "label_map.csv", LOW_AND_HIGH)
    small = aligned_room((1, 1, 0.6), step=0.08)
    write_scene(folder / "big.scene.npz", aligned_room((3, 3, 2), "big", step=0.08))
    names = ["big", *(f"small_{k:02d}" for k in range(55))]
    for name in (*names[1:], "val"):
        write_scene(folder / f"{name}.scene.npz", dataclasses.replace(small, name=name))
    (folder / "train.txt").write_text("\n".join(names))
    (folder / "val.txt").write_text("val\n")
    overrides = {"scenes": folder, "train_list": folder / "train.txt", "val_list": folder / "val.txt", "seed": 30}
    overrides |= {
        "num_steps": 28,
        "batch_size": 2,
        "log_every": 1,
        "save_every": 2,
        "keep_checkpoints": 20,
        "learning_rate": 0.01,
    }
    return ["--config=configs/vmnet_meshes.py:smoke", *(f"--config.{k}={v}" for k, v in overrides.items())]


@pytest.fixture(scope="module")
def whole(run, command, tmp_path_factory):
    """(workdir, ended Program) of the uninterrupted run on one device."""
    workdir = tmp_path_factory.mktemp("whole")
    code, program = run("vmnet_jax.train", *command, f"--workdir={workdir}", log_compiles=True)
    assert code == 0, program.err
    return workdir, program


def test_a_larger_batch_is_one_logged_compilation(whole):
    _, program = whole
    (names,) = re.findall(rf"{LARGER}(.*): one more compilation", program.err)
    assert "big" in names.split(", ")
    assert program.err.count("Compiling a step, ") == 2
    mapped = re.findall(r"Finished XLA compilation of jit\(_fun\)", program.err)
    assert len(mapped) == 2, "the planned bucket and the larger one"


@pytest.mark.parametrize("done", [24, 26], ids=["before", "after"])
def test_a_stop_around_a_larger_batch_changes_no_bit(run, command, whole, assert_same_run, tmp_path, done):
    """The run that continues knows nothing of the buckets that were taken before."""
    shutil.copytree(whole[0], tmp_path / "run")
    for folder in (tmp_path / "run" / "checkpoints").iterdir():
        if int(folder.name) > done:
            shutil.rmtree(folder)
    code, program = run("vmnet_jax.train", *command, f"--workdir={tmp_path / 'run'}")
    assert code == 0, program.err
    assert f"Resuming after step {done} of 28" in program.err
    assert_same_run(tmp_path / "run", whole[0])


def test_two_processes_agree_on_the_larger_bucket(start, run, command, whole, read_run, tmp_path):
    """One room in each process: they have the bits of one process with two devices, and all losses of one device."""
    two = Pair(start, "vmnet_jax.train", *command, f"--workdir={tmp_path / 'two'}")
    assert two.finish() == [0, 0], two.err
    code, program = run("vmnet_jax.train", *command, f"--workdir={tmp_path / 'one'}", devices=2)
    assert code == 0, program.err
    assert LARGER in two.both[0].err
    assert LARGER in program.err
    (ours, lines), (theirs, expected) = read_run(tmp_path / "two"), read_run(tmp_path / "one")
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    assert lines == expected
    losses, alone = ([line["loss"] for line in found if "loss" in line] for found in (lines, read_run(whole[0])[1]))
    np.testing.assert_allclose(losses, alone, rtol=1e-3)
    np.testing.assert_allclose(losses[0], alone[0], rtol=1e-5)
