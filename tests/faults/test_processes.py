"""Runs of two processes: the invariant that their number does not matter, and rows 22, 23, 27 and 32 on them."""

import signal
import socket
import time

import numpy as np
import pytest

MAINS = pytest.mark.parametrize("module", ["vmnet_jax.train", "sdclr_jax.train"])
TWO = {"vmnet_jax.train": ["--config.batch_size=2", "--config.max_buckets=2"], "sdclr_jax.train": []}
FORGETTING = {"vmnet_jax.train": [], "sdclr_jax.train": ["--config.forgetting_every_epochs=2"]}


class Pair:
    """Two processes of one run."""

    def __init__(self, start, *command, more=((), ()), **options):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"--coordinator=127.0.0.1:{probe.getsockname()[1]}"
        self.both = [
            start(*command, *more[i], address, "--num_processes=2", f"--process_id={i}", **options) for i in range(2)
        ]

    def finish(self):
        """Both exit codes."""
        return [program.finish(120) for program in self.both]

    @property
    def err(self):
        return "\n--\n".join(program.err for program in self.both)


@pytest.fixture(scope="module")
def pair(start, arguments):
    """pair(module, workdir, ...) -> the running `Pair`; two scenes (32 images) a step."""

    def start_pair(module, workdir, *more, **options):
        command = [module, *arguments[module], *TWO[module], *FORGETTING[module], f"--workdir={workdir}", *more]
        return Pair(start, *command, **options)

    return start_pair


@pytest.fixture(scope="module")
def together(pair, tmp_path_factory):
    """together(module) -> workdir of the uninterrupted run of two processes with a device each."""
    workdirs = {}

    def finished_pair(module):
        if module not in workdirs:
            workdirs[module] = tmp_path_factory.mktemp("together")
            two = pair(module, workdirs[module])
            assert two.finish() == [0, 0], two.err
        return workdirs[module]

    return finished_pair


@MAINS
def test_invariant_two_processes_equal_one_with_as_many_devices(run, arguments, together, read_run, tmp_path, module):
    command = [module, *arguments[module], *TWO[module], *FORGETTING[module], f"--workdir={tmp_path}"]
    code, program = run(*command, devices=2)
    assert code == 0, program.err
    (ours, lines), (theirs, expected) = read_run(together(module)), read_run(tmp_path)
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    assert lines == expected


@MAINS
def test_23_a_signal_to_one_process_stops_both_after_the_same_step(pair, together, assert_same_run, tmp_path, module):
    two = pair(module, tmp_path, pause="trainlib.window:MetricWindow.add:0.5")
    two.both[0].wait_for("step 3/8")
    began = time.monotonic()
    two.both[1].signal(signal.SIGTERM)
    assert two.finish() == [75, 75], two.err
    assert time.monotonic() - began < 30
    stopped = max(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert 3 <= stopped < 8
    assert all(f"stopped after step {stopped}, which is saved" in program.err for program in two.both), two.err
    again = pair(module, tmp_path)
    assert again.finish() == [0, 0], again.err
    assert f"Resuming after step {stopped} of 8" in again.err
    assert_same_run(tmp_path, together(module))
