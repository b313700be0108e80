"""Row 31: the config expects an accelerator and there is none."""

import json
import shutil

import pytest


@pytest.mark.parametrize("module", ["vmnet_jax.train", "sdclr_jax.train"])
def test_31_a_training_stops_before_it_looks_at_the_data(run, arguments, tmp_path, module):
    where = {"vmnet_jax.train": "--config.scenes=/nowhere", "sdclr_jax.train": "--config.dataset=cifar10"}
    command = [*arguments[module], where[module], "--config.platform=gpu", f"--workdir={tmp_path / 'run'}"]
    code, program = run(module, *command)
    assert code == 1
    assert "error: the config expects platform 'gpu' but JAX runs on 'cpu' (1 x cpu (host))" in program.err
    assert "--config.platform=any" in program.err
    assert not (tmp_path / "run").exists()


def test_31_so_does_an_evaluation(run, finished, tmp_path):
    shutil.copytree(finished("vmnet_jax.train"), tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"platform": "tpu", "scenes": "/nowhere"}))
    code, program = run("vmnet_jax.evaluate", f"--workdir={tmp_path / 'run'}")
    assert code == 1
    assert "the config expects platform 'tpu' but JAX runs on 'cpu'" in program.err
