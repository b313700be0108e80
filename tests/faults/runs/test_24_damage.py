"""Rows 24 and 25: flipped bits, missing, truncated and stray files in checkpoints. A damaged one is never used."""

import os
import random
import shutil

import numpy as np
import pytest

from trainlib.store.checkpoints import CheckpointStore
from trainlib.core.errors import CheckpointError
from trainlib.store.manifest import DamagedCheckpoint, verify

TARGET = {"w": np.zeros((64, 64), np.float32), "step": np.int32(0)}


def make_state(step):
    """The state of a run is a function of its step, so that a test can tell which one it got."""
    return {"w": np.random.default_rng(step).normal(size=(64, 64)).astype(np.float32), "step": np.int32(step)}


def assert_is_state(state, step):
    for name, value in make_state(step).items():
        np.testing.assert_array_equal(state[name], value)


@pytest.fixture
def store(tmp_path):
    with CheckpointStore(tmp_path) as opened:
        for step in (10, 20, 30):
            opened.save(step, make_state(step), metric=step / 100)
        yield opened


def largest_file(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip_bit(path, place):
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 1 << 4
    path.write_bytes(data)


def flip_at_random(path, rng):
    """Flips one bit of the file; returns its content before."""
    whole = path.read_bytes()
    data = bytearray(whole)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return whole


@pytest.mark.parametrize("count", [8, pytest.param(50, marks=pytest.mark.long)])
def test_24_random_bits_of_a_run_s_checkpoint(finished, tmp_path, count):
    """One bit at a time, anywhere in the data files of the last step: the step before is read, or `strict` stops."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(finished("vmnet_jax.train") / "checkpoints", folder)
    rng = random.Random(0)
    files = sorted(path for path in (folder / "8" / "state").rglob("*") if path.is_file())
    sizes = [path.stat().st_size for path in files]
    with CheckpointStore(folder) as store:
        for path in rng.choices(files, sizes, k=count):
            whole = flip_at_random(path, rng)
            assert store.read("last")[1] == 6
            with pytest.raises(DamagedCheckpoint, match=path.name):
                store.read("last", strict=True)
            path.write_bytes(whole)
        assert store.read("last", strict=True)[1] == 8


def test_24_the_main_goes_on_from_the_step_before_or_stops_with_strict(
    run, arguments, finished, assert_same_run, tmp_path
):
    """A bit of step 8 is flipped; the steps after 6 are done again, with the same bits."""
    workdir = tmp_path / "run"
    shutil.copytree(finished("sdclr_jax.train"), workdir)
    path = largest_file(workdir / "checkpoints" / "8")
    flip_bit(path, 0.5)
    command = ["sdclr_jax.train", *arguments["sdclr_jax.train"], f"--workdir={workdir}"]
    code, program = run(*command, "--strict")
    assert code == 1
    assert f"error: checkpoint of step 8 is damaged: {path}" in program.err
    code, program = run(*command)
    assert code == 0, program.err
    assert f"checkpoint of step 8 is damaged and passed over: {path}" in program.err
    assert "using step 6 instead" in program.err
    assert "Resuming after step 6 of 8" in program.err
    assert_same_run(workdir, finished("sdclr_jax.train"))


def test_24_a_flipped_bit_is_found_in_every_file(tmp_path, store):
    files = [path for path in (tmp_path / "30").rglob("*") if path.is_file()]
    assert len(files) > 4
    for path in files:
        for place in (0.0, 0.31, 0.77, 1.0):
            whole = path.read_bytes()
            flip_bit(path, place)
            if path.name != "manifest.json" or path.read_bytes().split() != whole.split():  # white space may differ
                with pytest.raises(DamagedCheckpoint, match=path.name):
                    verify(tmp_path / "30")
            path.write_bytes(whole)
    verify(tmp_path / "30")


@pytest.mark.parametrize("name", ["last", "best"])
def test_24_the_one_before_is_used_and_said(tmp_path, store, caplog, name):
    path = largest_file(tmp_path / "30")
    flip_bit(path, 0.5)
    state, step = store.restore(TARGET, name)
    assert step == 20
    assert_is_state(state, 20)
    assert "step 30 is damaged and passed over" in caplog.text
    assert str(path) in caplog.text
    assert "using step 20 instead" in caplog.text


def test_24_strict_and_a_named_step_stop(tmp_path, store):
    flip_bit(largest_file(tmp_path / "30"), 0.5)
    with pytest.raises(DamagedCheckpoint, match="step 30 is damaged"):
        store.restore(TARGET, strict=True)
    with pytest.raises(DamagedCheckpoint, match="step 30 is damaged"):
        store.restore(TARGET, 30)
    assert_is_state(store.restore(TARGET, 20, strict=True)[0], 20)


def truncate(folder):
    path = largest_file(folder)
    os.truncate(path, path.stat().st_size // 2)
    return path.name


def delete(folder):
    path = largest_file(folder)
    path.unlink()
    return path.name


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    return "manifest.json is missing"


def cut_manifest(folder):
    os.truncate(folder / "manifest.json", 40)
    return "manifest.json cannot be read"


@pytest.mark.parametrize("damage", [truncate, delete, empty])
def test_25_evaluation_uses_the_step_before_and_names_the_file(run, finished, tmp_path, damage):
    workdir = tmp_path / "run"
    shutil.copytree(finished("vmnet_jax.train"), workdir)
    name = damage(workdir / "checkpoints" / "8")
    code, program = run("vmnet_jax.evaluate", f"--workdir={workdir}")
    assert code == 0, program.err
    assert "checkpoint of step 8 is damaged and passed over" in program.err
    assert name in program.err
    assert (workdir / "eval" / "step_6_val_votes_1" / "report.json").is_file()
    code, program = run("vmnet_jax.evaluate", f"--workdir={workdir}", "--step=8")
    assert code == 1
    assert "error: checkpoint of step 8 is damaged" in program.err


@pytest.mark.parametrize("damage", [truncate, delete, empty, cut_manifest])
def test_25_missing_and_truncated_files_fall_back(tmp_path, store, caplog, damage):
    name = damage(tmp_path / "30")
    state, step = store.restore(TARGET)
    assert step == 20
    assert_is_state(state, 20)
    assert name in caplog.text


def test_25_two_damaged_steps_and_then_all(tmp_path, store):
    delete(tmp_path / "30")
    truncate(tmp_path / "20")
    assert store.restore(TARGET)[1] == 10
    empty(tmp_path / "10")
    with pytest.raises(CheckpointError) as refusal:
        store.restore(TARGET)
    assert all(f"step {step} is damaged" in str(refusal.value) for step in (10, 20, 30))


def test_25_stray_files_and_folders_do_not_matter(tmp_path, store):
    (tmp_path / "40.txt").write_text("notes")
    (tmp_path / "040").mkdir()
    (tmp_path / ".part-50").mkdir()
    (tmp_path / "30" / "notes").write_text("mine")
    assert store.steps() == [10, 20, 30]
    assert store.restore(TARGET)[1] == 30


def test_25_a_damaged_step_is_replaced_when_the_run_reaches_it_again(tmp_path, store):
    truncate(tmp_path / "30")
    assert store.restore(TARGET)[1] == 20
    store.save(30, make_state(30))
    state, step = store.restore(TARGET)
    assert step == 30
    assert_is_state(state, 30)
