"""Row 23: SIGTERM and SIGINT wherever they may come. Parts that take no time with small networks are made to wait."""

import signal
import time

import pytest

from trainlib.run.manifest import verify

MAINS = pytest.mark.parametrize(
    ("module", "number"), [("vmnet_jax.train", signal.SIGTERM), ("sdclr_jax.train", signal.SIGINT)]
)


@MAINS
def test_23_during_the_compilation(start, arguments, tmp_path, module, number):
    """The real networks; a rate that no step was compiled for before. It takes half a minute, and ends in 5 s."""
    rate = f"--config.learning_rate={0.1 + 1e-9 * time.time_ns() % 0.01}"
    program = start(module, *arguments[module], rate, f"--workdir={tmp_path}", networks="real")
    program.wait_for("Compiling a step, ")
    time.sleep(2)
    program.signal(number)
    assert program.seconds_to_end() < 5
    assert program.finish() == 75, program.err
    assert f"{signal.Signals(number).name} during compiling a step: stopped, run the same command" in program.err
    assert "First step" not in program.err


@MAINS
def test_23_in_a_step_in_a_save_and_a_second_signal(
    start, arguments, finished, assert_same_run, tmp_path, module, number
):
    """One run, interrupted three times; it ends with the bits of the uninterrupted one."""
    command = [module, *arguments[module], f"--workdir={tmp_path}"]

    in_step = start(*command, pause="trainlib.run.loop:MetricWindow.add:0.5")
    in_step.wait_for("step 3/8")
    in_step.signal(number)
    assert in_step.seconds_to_end() < 30
    assert in_step.finish() == 75, in_step.err
    assert "will save and stop after the running step" in in_step.err
    assert "which is saved; run the same command again to continue" in in_step.err
    stopped = max(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert f"stopped after step {stopped}" in in_step.err
    assert 3 <= stopped < 8

    twice = start(*command, pause="trainlib.run.checkpoints:CheckpointStore._write:60")
    twice.wait_for("pausing in CheckpointStore._write")
    assert f"Resuming after step {stopped} of 8" in twice.err
    twice.signal(number)
    time.sleep(0.6)
    twice.signal(number)
    assert twice.seconds_to_end() < 5
    assert twice.finish() == 1
    assert "second signal" in twice.err

    in_save = start(*command, pause="trainlib.run.checkpoints:CheckpointStore._write:1.5")
    in_save.wait_for("pausing in CheckpointStore._write")
    in_save.signal(number)
    assert in_save.seconds_to_end() < 30
    assert in_save.finish() in (75, 0), in_save.err  # 0: the save was that of the last step
    for step in (tmp_path / "checkpoints").iterdir():
        verify(step)

    last = start(*command)
    assert last.finish() == 0, last.err
    assert_same_run(tmp_path, finished(module))


def test_23_in_an_evaluation_of_the_training(start, arguments, finished, assert_same_run, tmp_path):
    """The state is saved before, though none is due, so it leaves at once; the next run evaluates that step first."""
    command = ["vmnet_jax.train", *arguments["vmnet_jax.train"], "--config.save_every=3", f"--workdir={tmp_path}"]
    program = start(*command, pause="vmnet_jax.learn.inference:evaluate_scenes:60")
    program.wait_for("pausing in evaluate_scenes")
    program.signal(signal.SIGTERM)
    assert program.seconds_to_end() < 5
    assert program.finish() == 75
    assert "SIGTERM during the evaluation after step 4: stopped" in program.err
    again = start(*command)
    assert again.finish() == 0, again.err
    assert "Resuming after step 4 of 8" in again.err
    assert_same_run(tmp_path, finished("vmnet_jax.train"))


@pytest.mark.parametrize(
    ("module", "trained", "more"),
    [
        ("vmnet_jax.evaluate", "vmnet_jax.train", []),
        ("vmnet_jax.predict", "vmnet_jax.train", ["--mesh=none.ply", "--output=none"]),
        ("sdclr_jax.evaluate", "sdclr_jax.train", []),
    ],
)
def test_23_evaluation_and_prediction_leave_at_once(start, finished, tmp_path, module, trained, more):
    more = [word.replace("none", str(tmp_path / "none")) for word in more]
    (tmp_path / "none.ply").write_text("")
    pause = "trainlib.run.checkpoints:CheckpointStore.read:60"
    program = start(module, f"--workdir={finished(trained)}", *more, pause=pause)
    program.wait_for("pausing in CheckpointStore.read")
    program.signal(signal.SIGTERM)
    assert program.seconds_to_end() < 5
    assert program.finish() == 75
    assert f"SIGTERM during python -m {module}: stopped, run the same command again to continue" in program.err
