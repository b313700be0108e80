"""Row 31: the config expects an accelerator and there is none."""

import json
import shutil

import pytest


def unreadable(folder):
    """A folder that is there, and that neither training could read: an empty label map, no image."""
    folder.mkdir()
    (folder / "label_map.csv").touch()
    return folder


@pytest.mark.parametrize("module", ["vmnet_jax.train", "sdclr_jax.train"])
def test_31_a_training_stops_before_it_looks_at_the_data(run, arguments, tmp_path, module):
    data = unreadable(tmp_path / "data")
    where = {
        "vmnet_jax.train": [f"--config.scenes={data}"],
        "sdclr_jax.train": ["--config.dataset=cifar10", f"--config.data_path={data}"],
    }
    command = [*arguments[module], *where[module], "--config.platform=gpu", f"--workdir={tmp_path / 'run'}"]
    code, program = run(module, *command)
    assert code == 1
    assert "error: the config expects platform 'gpu' but JAX runs on 'cpu' (1 x cpu (host))" in program.err
    assert "--config.platform=any" in program.err
    assert not (tmp_path / "run").exists()


def test_31_so_does_an_evaluation(run, finished, tmp_path):
    shutil.copytree(finished("vmnet_jax.train"), tmp_path / "run")
    path, data = tmp_path / "run" / "config.json", unreadable(tmp_path / "data")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"platform": "tpu", "scenes": str(data)}))
    code, program = run("vmnet_jax.evaluate", f"--workdir={tmp_path / 'run'}")
    assert code == 1
    assert "the config expects platform 'tpu' but JAX runs on 'cpu'" in program.err
