"""Row 27: a run started again with another config or other data is told what differs, and nothing is cast."""

import json
import shutil

import numpy as np
import pytest


@pytest.fixture
def workdir(finished, tmp_path):
    """A copy of the finished run of VMNet."""
    shutil.copytree(finished("vmnet_jax.train"), tmp_path / "run")
    return tmp_path / "run"


def test_27_every_key_that_differs_is_listed(run, arguments, workdir):
    changes = ["widths=(16,8,8,8,8,8,8)", "batch_size=2", "dtype=bfloat16", "scenes=elsewhere"]
    before = (workdir / "config.json").read_bytes()
    command = [*arguments["vmnet_jax.train"], *(f"--config.{change}" for change in changes), f"--workdir={workdir}"]
    code, program = run("vmnet_jax.train", *command, "--allow_change=batch_size")
    assert code == 1
    assert f"error: workdir {workdir} belongs to a run with another config (before -> now):" in program.err
    for line in (
        "widths: [8, 8, 8, 8, 8, 8, 8] -> [16, 8, 8, 8, 8, 8, 8]",
        'dtype: "float32" -> "bfloat16"',
        '-> "elsewhere"',
    ):
        assert line in program.err
    assert "batch_size" not in program.err.replace("--allow_change", "")
    assert "--allow_change=key,key" in program.err
    assert (workdir / "config.json").read_bytes() == before


def test_27_an_allowed_change_of_the_model_that_does_not_fit_is_a_table(run, arguments, workdir):
    command = [*arguments["vmnet_jax.train"], "--config.widths=(16,8,8,8,8,8,8)", f"--workdir={workdir}"]
    before = (workdir / "config.json").read_bytes()
    code, program = run("vmnet_jax.train", *command, "--allow_change=widths")
    assert code == 1
    assert (
        f"error: the checkpoint {workdir / 'checkpoints' / '8'} does not fit the state of this config:" in program.err
    )
    assert "params/Dense_0/bias: float32[8], expected float32[16]" in program.err
    assert "more" in program.err
    assert (workdir / "config.json").read_bytes() == before


def test_27_an_allowed_dtype_of_the_computation_casts_no_parameter(run, arguments, read_run, workdir):
    command = [*arguments["vmnet_jax.train"], "--config.dtype=bfloat16", "--config.num_steps=9", f"--workdir={workdir}"]
    code, program = run("vmnet_jax.train", *command, "--allow_change=dtype,num_steps")
    assert code == 0, program.err
    assert 'config changed on resume (before -> now):\n  dtype: "float32" -> "bfloat16"' in program.err
    arrays, _ = read_run(workdir)
    assert {array.dtype for array in arrays.values()} == {np.dtype("float32"), np.dtype("int32")}
    assert json.loads((workdir / "config.json").read_text())["dtype"] == "bfloat16"


def test_27_other_data_under_the_same_name_is_refused(run, arguments, tiny_rooms, workdir, tmp_path):
    """A scene takes the place of another: the order of the data would silently be another one."""
    scenes = tmp_path / "scenes"
    shutil.copytree(tiny_rooms, scenes)
    command = [*arguments["vmnet_jax.train"], f"--config.scenes={scenes}", f"--workdir={workdir}"]
    (scenes / "room_0.scene.npz").rename(scenes / "room_7.scene.npz")
    code, program = run("vmnet_jax.train", *command, "--allow_change=scenes")
    assert code == 1
    assert f"error: workdir {workdir} belongs to a run with other data (before -> now):" in program.err
    assert "room_0: " in program.err
    assert "room_7: (absent) -> " in program.err
    assert "add data to --allow_change" in program.err
    code, program = run("vmnet_jax.train", *command, "--allow_change=scenes,data")
    assert code == 0, program.err
    assert "data changed on resume" in program.err
    assert "room_7" in (workdir / "data.json").read_text()
