"""config.json, the lock, and what a resumed run may change."""

import os
import subprocess
import sys

import ml_collections
import pytest

from trainlib.core.errors import UserError
from trainlib.run.workdir import load_config, open_workdir, require_settings


def make_config(**changes):
    values = {"batch_size": 4, "features": ("xyz", "rgb"), "learning_rate": 0.1, "split": None, "data": {"seed": 0}}
    return ml_collections.ConfigDict(values | changes)


def keep(path, config, allow_change=()):
    """A run that gets as far as keeping its config."""
    with open_workdir(path, config, allow_change) as workdir:
        workdir.keep_config()


def test_a_run_that_failed_before_it_kept_its_config_binds_nothing(tmp_path):
    with pytest.raises(UserError, match="no such data"), open_workdir(tmp_path, make_config(batch_size=1)):
        raise UserError("no such data")
    keep(tmp_path, make_config())
    with pytest.raises(UserError, match="does not fit"), open_workdir(tmp_path, make_config(split=3), ["split"]):
        raise UserError("the checkpoint does not fit")
    assert load_config(tmp_path).split is None


def test_the_config_comes_back_as_it_was(tmp_path):
    path = tmp_path / "runs" / "one"
    with open_workdir(path, make_config()) as workdir:
        assert workdir.path == path
        workdir.keep_config()
    config = load_config(path)
    assert config.to_dict() == make_config().to_dict()
    assert isinstance(config.features, tuple)


def test_the_same_config_resumes_and_another_is_refused_with_its_keys(tmp_path):
    keep(tmp_path, make_config())
    keep(tmp_path, make_config())
    changed = make_config(batch_size=8, data={"seed": 1}, split=2)
    with pytest.raises(UserError) as refusal:
        open_workdir(tmp_path, changed)
    message = str(refusal.value)
    for line in ("batch_size: 4 -> 8", "data.seed: 0 -> 1", "split: null -> 2", "--allow_change"):
        assert line in message
    assert "learning_rate" not in message
    assert load_config(tmp_path).batch_size == 4


def test_a_key_that_came_or_went_counts_as_a_change(tmp_path):
    keep(tmp_path, make_config())
    fewer = make_config()
    del fewer.split
    with pytest.raises(UserError, match=r"split: null -> \(absent\)"):
        open_workdir(tmp_path, fewer)


def test_allowed_changes_are_written_and_all_of_them_must_be_allowed(tmp_path, caplog):
    keep(tmp_path, make_config())
    changed = make_config(batch_size=8, data={"seed": 1})
    with pytest.raises(UserError, match=r"data\.seed"):
        open_workdir(tmp_path, changed, allow_change=["batch_size"])
    keep(tmp_path, changed, allow_change=["batch_size", "data"])
    assert "batch_size: 4 -> 8" in caplog.text
    assert load_config(tmp_path).batch_size == 8
    keep(tmp_path, changed)


def test_two_runs_in_one_workdir(tmp_path):
    with open_workdir(tmp_path, make_config()):
        with pytest.raises(UserError, match=rf"{tmp_path} is in use by pid {os.getpid()} on \S+ "):
            open_workdir(tmp_path, make_config())
        assert f"pid {os.getpid()}" in (tmp_path / "lock").read_text()
    keep(tmp_path, make_config())


def test_the_lock_of_a_killed_run_is_taken_over(tmp_path):
    code = (
        "import os, signal, sys, ml_collections; from trainlib.run.workdir import open_workdir\n"
        "open_workdir(sys.argv[1], ml_collections.ConfigDict({'a': 1})).keep_config()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert "pid" in (tmp_path / "lock").read_text()
    keep(tmp_path, ml_collections.ConfigDict({"a": 1}))


def test_a_refused_config_gives_the_lock_back(tmp_path):
    keep(tmp_path, make_config())
    with pytest.raises(UserError):
        open_workdir(tmp_path, make_config(batch_size=1))
    keep(tmp_path, make_config())


def test_an_unwritable_workdir_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"cannot write in workdir {tmp_path}/file/run: Not a directory"):
        open_workdir(tmp_path / "file" / "run", make_config())


def test_no_run_and_a_damaged_config_are_named(tmp_path):
    with pytest.raises(UserError, match="not the workdir of a run"):
        load_config(tmp_path)
    (tmp_path / "config.json").write_text('{"a": ')
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        load_config(tmp_path)


def test_a_value_that_json_cannot_hold_is_refused(tmp_path):
    with pytest.raises(UserError, match="JSON cannot hold"):
        open_workdir(tmp_path, make_config(split={1, 2}))


def test_a_config_of_the_other_system_is_told():
    config = ml_collections.ConfigDict({"epochs": 3})
    require_settings(config, ("epochs",), "the config", "sdclr_jax")
    with pytest.raises(UserError, match="the config is not of vmnet_jax: it has no max_buckets, num_steps"):
        require_settings(config, ("max_buckets", "epochs", "num_steps"), "the config", "vmnet_jax")
