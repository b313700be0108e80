"""Damage, kills and full disks: a whole checkpoint is found, a damaged one never used (fault table, rows 20 to 25)."""

import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from trainlib import checkpoints, manifest
from trainlib.checkpoints import CheckpointStore
from trainlib.errors import CheckpointError
from trainlib.manifest import DamagedCheckpoint, verify

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


def test_a_damaged_step_is_replaced_when_the_run_reaches_it_again(tmp_path, store):
    truncate(tmp_path / "30")
    assert store.restore(TARGET)[1] == 20
    store.save(30, make_state(30))
    state, step = store.restore(TARGET)
    assert step == 30
    assert_is_state(state, 30)


def listing(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_20_too_little_space_leaves_everything_as_it_was(tmp_path, store, monkeypatch, caplog):
    before = listing(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2**20))
        message = rf"step 40 in {tmp_path} failed \(1 MiB are free\).* 16 MiB are needed: No space left on device"
        with pytest.raises(CheckpointError, match=message):
            store.save(40, make_state(40))
        with pytest.raises(CheckpointError, match="16 MiB are needed"):
            store.check_space(make_state(40))
        assert store.save(40, make_state(40), retry_later=True) is False
    assert "the next save tries again" in caplog.text
    assert listing(tmp_path) == before
    assert store.save(50, make_state(50), retry_later=True)
    assert store.latest_step() == 50


def test_20_a_limit_that_the_free_space_does_not_show(tmp_path, store):
    before = listing(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    try:
        with pytest.raises(CheckpointError, match="16 MiB are needed: File too large"):
            store.save(40, make_state(40))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert listing(tmp_path) == before


def test_21_a_failure_of_the_storage_layer_is_raised_by_the_save_itself(tmp_path, store, monkeypatch):
    def fail(path, tree):
        path.mkdir()
        (path / "half").write_bytes(b"x" * 1000)
        raise ValueError("OUT_OF_RANGE: failed writing")

    before = listing(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(store._orbax, "save", fail)
        with pytest.raises(CheckpointError, match=r"save of step 40 .*failed writing"):
            store.save(40, make_state(40))
    assert listing(tmp_path) == before


class Kill(BaseException):
    """Ends a save at a chosen point, without any clean-up."""


@pytest.mark.parametrize(("saved", "oldest"), [(30, 20), (20, 10)], ids=["a new step", "a step saved again"])
def test_22_a_kill_at_each_operation_leaves_whole_checkpoints_only(tmp_path, monkeypatch, saved, oldest):
    """A save is ended before each write to the disk (outside Orbax) in turn; step `oldest` or a newer one is left."""
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
            for step in store.steps():
                verify(folder / str(step))
            state, step = store.restore(TARGET)
            assert step >= oldest
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

    patch.setattr(manifest, "write_atomic", counted(manifest.write_atomic))
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


def test_22_sigkill_while_saving(tmp_path):
    code = f"import runpy, sys; runpy.run_path({__file__!r})['save_for_ever'](sys.argv[1])"
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    resumed_from = -1
    for delay in (0.005, 0.04):
        run = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
        )
        told = int(run.stdout.readline())
        assert told > resumed_from
        run.stdout.readline()
        time.sleep(delay)
        run.send_signal(signal.SIGKILL)
        told = max([told + 1, *map(int, run.stdout.read().split())])
        run.stdout.close()
        assert run.wait() == -signal.SIGKILL
        with CheckpointStore(tmp_path) as store:
            state, step = store.restore(TARGET, strict=True)
            assert step in (told, told + 1)
            assert_is_state(state, step)
        resumed_from = step
