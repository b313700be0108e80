"""Row 26: a run goes on with another number of devices; and the invariant that their number does not matter."""

import shutil

import numpy as np
import pytest

MAINS = pytest.mark.parametrize("module", ["vmnet_jax.train", "sdclr_jax.train"])


@pytest.fixture(scope="module")
def on(start, arguments, tmp_path_factory):
    """on(module, devices) -> workdir of six steps of four scenes (or 32 images) with all figures of each step."""
    workdirs = {}

    def run_on(module, devices):
        if (module, devices) not in workdirs:
            workdirs[module, devices] = workdir = tmp_path_factory.mktemp(f"on_{devices}")
            finish(start, arguments, module, workdir, devices)
        return workdirs[module, devices]

    return run_on


def finish(start, arguments, module, workdir, devices):
    """With a low rate, that rounding does not grow from step to step."""
    more = {"vmnet_jax.train": ["--config.batch_size=4", "--config.num_steps=6"], "sdclr_jax.train": []}
    more = [*more[module], "--config.log_every=1", "--config.learning_rate=0.01", "--config.keep_checkpoints=8"]
    command = [*arguments[module], *more, f"--workdir={workdir}"]
    program = start(module, *command, devices=devices)
    assert program.finish() == 0, program.err
    assert program.err.startswith(f"{devices} x cpu (host)")
    return program


def figures(workdir, read_run):
    """{figure: its values by step}."""
    lines = [line for line in read_run(workdir)[1] if "loss" in line]
    return {name: [line[name] for line in lines] for name in lines[0] if name not in ("step", "learning_rate")}


def assert_close_runs(first, second, read_run):
    """Losses and gradients agree at every step, to the rounding of float32."""
    ours, theirs = figures(first, read_run), figures(second, read_run)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-4, err_msg=name)
        np.testing.assert_allclose(values[0], theirs[name][0], rtol=1e-5, err_msg=name)


@MAINS
def test_invariant_loss_and_gradients_are_the_same_on_one_and_on_four_devices(on, read_run, module):
    assert_close_runs(on(module, 4), on(module, 1), read_run)


@MAINS
def test_26_from_one_to_four_devices_and_back(start, arguments, on, read_run, tmp_path, module):
    """Steps 1 and 2 on one device, 3 and 4 on four, the others on one again. The same scenes give the same losses."""
    shutil.copytree(on(module, 1), tmp_path / "run")
    for devices, done in ((4, 2), (1, 4)):
        for step in (tmp_path / "run" / "checkpoints").iterdir():
            if int(step.name) > done:
                shutil.rmtree(step)
        program = finish(start, arguments, module, tmp_path / "run", devices)
        assert f"Resuming after step {done} of" in program.err
    assert_close_runs(tmp_path / "run", on(module, 1), read_run)
    for name, array in read_run(tmp_path / "run")[0].items():
        expected = read_run(on(module, 1))[0][name]
        assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
