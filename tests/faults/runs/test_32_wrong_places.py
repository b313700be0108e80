"""Row 32: wrong or damaged data, a workdir that cannot be written, two runs in one workdir."""

import os
import signal

import pytest

from sdclr_jax.data.cifar import RELEASES

VMNET, SDCLR = "vmnet_jax.train", "sdclr_jax.train"


def refused(run, module, *command):
    """The one message of a run that is refused with exit code 1."""
    code, program = run(module, *command)
    assert code == 1, program.err
    assert "Traceback" not in program.err
    return program.err[program.err.index("error: ") :]


def test_32_a_wrong_folder_of_scenes(run, arguments, tmp_path):
    message = refused(run, VMNET, *arguments[VMNET], f"--config.scenes={tmp_path}", f"--workdir={tmp_path / 'run'}")
    assert f"error: {tmp_path}: no label_map.csv. Make the folder with python -m preprocess.scenes." in message


def test_32_cifar_missing_and_damaged(run, tmp_path):
    """Files of the right names; the content of the first is wrong, its checksum is expected."""
    config = "--config=configs/sdclr_cifar10_lt.py:smoke"
    workdir = f"--workdir={tmp_path / 'run'}"
    message = refused(run, SDCLR, config, workdir, f"--config.data_path={tmp_path / 'nowhere'}")
    assert f"there is no {tmp_path / 'nowhere'}; config.data_path names" in message
    release = RELEASES["cifar10"]
    folder = tmp_path / release.folder
    folder.mkdir()
    for name in release.sha256:
        (folder / name).write_bytes(bytes(3073))
    message = refused(run, SDCLR, config, workdir, f"--config.data_path={folder}")
    assert f"{folder / 'data_batch_1.bin'}: sha256" in message
    assert release.sha256["data_batch_1.bin"] in message


@pytest.mark.parametrize("module", [VMNET, SDCLR])
def test_32_a_workdir_that_cannot_be_written(run, arguments, module):
    """Nobody, not even root, can make a folder there."""
    message = refused(run, module, *arguments[module], "--workdir=/proc/run")
    assert (
        "error: cannot write in workdir /proc/run: No such file or directory; choose another with --workdir" in message
    )


def test_32_a_second_run_in_a_workdir_is_told_the_first(start, run, arguments, finished, assert_same_run, tmp_path):
    """The second one leaves; the first one is not disturbed. After a kill the lock is free."""
    command = [VMNET, *arguments[VMNET], f"--workdir={tmp_path}"]
    first = start(*command, pause_in="trainlib.run.loop:TrainRun.finish", calls=(4,))
    first.wait_for("pausing in TrainRun.finish")
    assert "step 3/8" in first.err
    message = refused(run, *command)
    assert f"error: workdir {tmp_path} is in use by pid {first.pid} on {os.uname().nodename} (file lock)" in message
    assert "choose another --workdir" in message
    first.signal(signal.SIGKILL)
    assert first.finish() == -signal.SIGKILL
    last = start(*command)
    assert last.finish() == 0, last.err
    assert_same_run(tmp_path, finished(VMNET))
