"""Runs of two processes: the invariant that their number does not matter, and rows 22, 23, 27 and 32 on them."""

import signal
import socket
import time

import numpy as np
import pytest
from PIL import Image

from trainlib.run.peers import DEAD_S

LIMIT_S = 120  # for two runs side by side, a cold compile included
GUARD_S = 30  # for leaving together, which takes less than a second; a guard that is gone is not waited for
MAINS = pytest.mark.parametrize("module", ["vmnet_jax.train", "sdclr_jax.train"])
TWO = {"vmnet_jax.train": ["--config.batch_size=2", "--config.max_buckets=2"], "sdclr_jax.train": []}
FORGETTING = {"vmnet_jax.train": [], "sdclr_jax.train": ["--config.forgetting_every_epochs=2"]}


class Pair:
    """Two processes of one run."""

    def __init__(self, start, *command, each=((), ()), **options):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"--coordinator=127.0.0.1:{probe.getsockname()[1]}"
        self.both = [
            start(*command, *each[i], address, "--num_processes=2", f"--process_id={i}", **options) for i in range(2)
        ]

    def finish(self, limit_s=LIMIT_S):
        """Both exit codes; both end within the limit."""
        end = time.monotonic() + limit_s
        return [program.finish(max(end - time.monotonic(), 0)) for program in self.both]

    def release(self, call):
        """Ends this pause of both."""
        for program in self.both:
            program.release(call)

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


def test_invariant_images_from_files_are_those_of_one_process(start, run, read_run, tmp_path):
    """Each process decodes its own devices' share of every batch."""
    rng = np.random.default_rng(0)
    for number in range(60):
        path = tmp_path / "images" / f"class_{number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 16, 3), np.uint8)).save(path)
    small = {"data_path": tmp_path / "images", "canvas": 16, "view_size": 8, "projection_size": 16, "batch_size": 10}
    command = ["sdclr_jax.train", "--config=configs/sdclr_folder.py:simclr,smoke"]
    command += [f"--config.{name}={value}" for name, value in small.items()]
    two = Pair(start, *command, f"--workdir={tmp_path / 'two'}")
    assert two.finish() == [0, 0], two.err
    code, program = run(*command, f"--workdir={tmp_path / 'one'}", devices=2)
    assert code == 0, program.err
    (ours, lines), (theirs, expected) = read_run(tmp_path / "two"), read_run(tmp_path / "one")
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    assert lines == expected


@pytest.mark.long
@MAINS
def test_invariant_two_processes_of_two_devices_equal_one_of_four(run, pair, arguments, read_run, tmp_path, module):
    """To rounding: four numbers are added in another order. A low rate, that rounding does not grow."""
    more = ["--config.log_every=1", "--config.learning_rate=0.01"]
    more += ["--config.batch_size=4"] if module == "vmnet_jax.train" else []
    two = pair(module, tmp_path / "two", *more, devices=2)
    assert two.finish() == [0, 0], two.err
    code, program = run(module, *arguments[module], *TWO[module], *more, f"--workdir={tmp_path / 'one'}", devices=4)
    assert code == 0, program.err
    ours, theirs = ([line for line in read_run(tmp_path / name)[1] if "loss" in line] for name in ("two", "one"))
    assert len(ours) == len(theirs) == 8
    for line, other in zip(ours, theirs):
        assert line.keys() == other.keys()
        assert line == pytest.approx(other, rel=1e-4)


@MAINS
def test_23_a_signal_to_one_process_stops_both_after_the_same_step(pair, together, assert_same_run, tmp_path, module):
    two = pausing(pair, module, tmp_path, step=4)
    two.both[1].signal(signal.SIGTERM)
    two.both[0].wait_for("another process was asked to stop: will save and stop", GUARD_S)
    two.release(4)
    assert two.finish(GUARD_S) == [75, 75], two.err
    stopped = max(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert 3 <= stopped < 8
    assert all(f"stopped after step {stopped}, which is saved" in program.err for program in two.both), two.err
    again = pair(module, tmp_path)
    assert again.finish() == [0, 0], again.err
    assert f"Resuming after step {stopped} of 8" in again.err
    assert_same_run(tmp_path, together(module))


def pausing(pair, module, workdir, step):
    """A pair of which both pause after the computations of this step, and before anything of it is said or saved."""
    two = pair(module, workdir, pause_in="trainlib.run.loop:TrainRun.finish", calls=(step,))
    for program in two.both:
        program.wait_for("pausing in TrainRun.finish")
    return two


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("vmnet_jax.train", (0,)),
        ("vmnet_jax.train", (1,)),
        ("vmnet_jax.train", (0, 1)),
        ("sdclr_jax.train", (0, 1)),
        pytest.param("sdclr_jax.train", (0,), marks=pytest.mark.long),
        pytest.param("sdclr_jax.train", (1,), marks=pytest.mark.long),
    ],
)
def test_23_a_signal_during_the_compilation_ends_both_at_once(pair, tmp_path, module, told):
    """The compilation is made to wait; the real ones are in the long form."""
    two = pair(module, tmp_path, pause_in="trainlib.run.memory:step_memory")
    signal_all_in(two, "pausing in step_memory", told)
    assert any("during compiling a step: stopped, run the same command" in program.err for program in two.both)


@MAINS
@pytest.mark.long
def test_23_a_signal_during_the_real_compilation_ends_both_at_once(pair, tmp_path, module):
    rate = f"--config.learning_rate={0.1 + 1e-9 * time.time_ns() % 0.01}"
    signal_all_in(pair(module, tmp_path, rate, networks="real"), "Compiling a step, ", (0, 1))


def test_23_a_signal_during_an_evaluation_ends_both_at_once(pair, together, assert_same_run, tmp_path):
    """Process 0 evaluates the one scene that there is, process 1 waits for it and is told to stop."""
    two = pair("vmnet_jax.train", tmp_path, pause_in="vmnet_jax.learn.validation:evaluate_scenes")
    two.both[0].wait_for("pausing in evaluate_scenes")
    signal_all_in(two, "", (1,))
    again = pair("vmnet_jax.train", tmp_path)
    assert again.finish() == [0, 0], again.err
    assert "Resuming after step 4 of 8" in again.err
    assert_same_run(tmp_path, together("vmnet_jax.train"))


def signal_all_in(two, text, told):
    """Tells these processes to stop when all say `text`; both leave with 75, though nothing releases their pause."""
    for program in two.both:
        program.wait_for(text)
    for number in told:
        two.both[number].signal(signal.SIGTERM)
    assert two.finish(GUARD_S) == [75, 75], two.err


@pytest.mark.parametrize(
    ("module", "killed"),
    [
        ("vmnet_jax.train", 0),
        ("vmnet_jax.train", 1),
        pytest.param("sdclr_jax.train", 0, marks=pytest.mark.long),
        pytest.param("sdclr_jax.train", 1, marks=pytest.mark.long),
    ],
)
def test_22_when_one_is_killed_the_other_ends_and_the_run_goes_on(
    pair, together, assert_same_run, tmp_path, module, killed
):
    two = pausing(pair, module, tmp_path, step=3)
    two.both[killed].signal(signal.SIGKILL)
    two.release(3)
    codes = two.finish(DEAD_S + GUARD_S)
    assert codes[killed] == -signal.SIGKILL
    assert codes[1 - killed] in (1, -signal.SIGABRT), two.err
    again = pair(module, tmp_path)
    assert again.finish() == [0, 0], again.err
    assert "Resuming after step 2 of 8" in again.err
    assert_same_run(tmp_path, together(module))


def test_27_processes_with_different_configs_are_refused(pair, tmp_path):
    two = pair("sdclr_jax.train", tmp_path, each=([], ["--config.seed=5"]))
    assert two.finish(GUARD_S) == [1, 1]
    assert "the config of process 1 differs from process 0" in two.err


def test_32_what_process_0_is_refused_ends_the_other(pair, start, arguments, tmp_path):
    """Another run has the workdir."""
    command = ["sdclr_jax.train", *arguments["sdclr_jax.train"], f"--workdir={tmp_path}"]
    first = start(*command, pause_in="trainlib.run.loop:TrainRun.finish")
    first.wait_for("pausing in TrainRun.finish")
    two = pair("sdclr_jax.train", tmp_path)
    assert two.finish(GUARD_S) == [1, 1]
    assert f"in use by pid {first.pid}" in two.both[0].err
    assert "process 0: ended with an error" in two.both[1].err
