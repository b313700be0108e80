"""Row 20: the disk fills during a save or during preprocessing: a small file system of its own where one may be
mounted, a limit on the size of files elsewhere."""

import contextlib
import errno
import os
import re
import resource
import shutil
import subprocess

import numpy as np
import pytest

from preprocess.formats.writer import write_labels_ply
from preprocess.synthetic.room import make_room
from preprocess.scene.scene_file import read_scene
from trainlib.store.checkpoints import CheckpointStore
from trainlib.core.errors import CheckpointError
from trainlib.store.manifest import verify

MIB = 2**20
SAVE = "trainlib.store.checkpoints:CheckpointStore.save"
STATE = {"w": np.arange(4096, dtype=np.float32).reshape(64, 64)}


@pytest.fixture
def disk(tmp_path):
    """disk(MiB) -> a folder on a file system of that size."""
    mounted = []

    def mount(size):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", folder], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
        mounted.append(folder)
        return folder

    try:
        yield mount
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    finally:
        for folder in mounted:
            subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def filled(folder, leave=0):
    """No more than `leave` bytes are free inside the block."""
    path = folder / "filler"
    with open(path, "wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    os.truncate(path, path.stat().st_size - leave)
    try:
        yield
    finally:
        path.unlink()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_20_a_run_goes_on_and_saves_when_there_is_room_again(start, arguments, finished, assert_same_run, disk):
    room = disk(24)
    pause = {"pause_in": SAVE, "calls": (2, 3)}
    program = start("vmnet_jax.train", *arguments["vmnet_jax.train"], f"--workdir={room}", **pause)
    program.wait_for("pausing in CheckpointStore.save, call 2")
    with filled(room):
        program.release(2)
        program.wait_for("the next save tries again")
        program.wait_for("pausing in CheckpointStore.save, call 3")
        assert names(room / "checkpoints") == ["2"]
        verify(room / "checkpoints" / "2")
    program.release(3)
    assert program.finish() == 0, program.err
    assert "the save of step 4 in" in program.err
    assert "16 MiB are needed: No space left on device" in program.err
    assert "(0 MiB are free)" in program.err
    assert_same_run(room, finished("vmnet_jax.train"))


@pytest.mark.parametrize("module", ["vmnet_jax.train", "sdclr_jax.train"])
def test_20_at_the_end_it_is_an_error_and_the_last_checkpoint_stays(start, arguments, finished, disk, module):
    """Step 8 of 8 cannot be saved; with room the same command does the rest."""
    room = disk(24)
    shutil.copytree(finished(module), room, dirs_exist_ok=True)
    shutil.rmtree(room / "checkpoints" / "8")
    program = start(module, *arguments[module], f"--workdir={room}", pause_in=SAVE)
    program.wait_for("pausing in CheckpointStore.save")
    with filled(room):
        program.release()
        assert program.finish() == 1
    assert "error: the save of step 8 in" in program.err
    assert "No space left on device. Make room there" in program.err
    assert "Traceback" not in program.err
    assert names(room / "checkpoints")[-1] == "6"
    verify(room / "checkpoints" / "6")


def test_20_too_little_space_at_the_start(run, arguments, disk):
    room = disk(8)
    code, program = run("vmnet_jax.train", *arguments["vmnet_jax.train"], f"--workdir={room}")
    assert code == 1
    assert f"error: a save in {room / 'checkpoints'} failed (8 MiB are free)" in program.err
    assert "16 MiB are needed: No space left on device" in program.err
    assert "First step" not in program.err
    assert names(room) == ["checkpoints", "lock"]


def test_20_a_limit_that_the_free_space_does_not_show(run, arguments, tmp_path):
    """As a quota: the files of the process may not be larger than 1 MiB."""
    code, program = run("vmnet_jax.train", *arguments["vmnet_jax.train"], f"--workdir={tmp_path}", room=MIB)
    assert code == 1
    assert "16 MiB are needed: File too large" in program.err
    assert names(tmp_path / "checkpoints") == []


def test_20_a_save_that_finds_no_room_changes_nothing(tmp_path):
    with CheckpointStore(tmp_path) as store:
        store.save(10, STATE)
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
        try:
            assert store.save(20, STATE, retry_later=True) is False
            with pytest.raises(CheckpointError, match=r"save of step 20 in .* 16 MiB are needed: File too large"):
                store.save(20, STATE)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
        assert store.save(30, STATE, retry_later=True)


def test_20_the_disk_fills_while_bytes_are_written(disk, monkeypatch):
    """The room was there when the save began: what Orbax writes, or the manifest, does not fit any more."""
    room = disk(24)
    with CheckpointStore(room / "checkpoints") as store:
        store.save(10, STATE)
        monkeypatch.setattr(store, "_require_space", lambda arrays: None)
        with filled(room):
            assert store.save(20, STATE, retry_later=True) is False
            with pytest.raises(CheckpointError, match=os.strerror(errno.ENOSPC)):
                store.save(20, STATE)
        assert names(store.directory) == ["10"]
        verify(store.directory / "10")
        assert store.save(20, STATE)


def test_20_preprocessing_names_needed_and_free_space_and_goes_on_later(run, disk, tmp_path):
    mesh = make_room(0, 0.08)
    (tmp_path / "in").mkdir()
    write_labels_ply(tmp_path / "in" / "room.ply", mesh.vertices, mesh.faces, mesh.labels, mesh.colors)
    room = disk(4)
    command = [f"--input={tmp_path / 'in'}", f"--output={room}", "--cells=0.2,0.4", "--workers=0"]
    with filled(room, leave=200_000):
        code, program = run("preprocess.scenes", *command)
        assert code == 1
        assert names(room) == ["failed.json", "filler", "label_map.csv"]
    assert re.search(r"failed: .*disk full: \d{7} bytes needed, \d{6} free; make room and run the same", program.err)
    assert str(room / "room.scene.npz") in program.err
    code, program = run("preprocess.scenes", *command)
    assert code == 0, program.err
    assert read_scene(room / "room.scene.npz").name == "room"
