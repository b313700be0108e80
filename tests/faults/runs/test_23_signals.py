"""Row 23: SIGTERM and SIGINT wherever they may come.

Parts that take no time with small networks are made to pause. A program that ends before it is released has left in the
pause: nothing else ends it.
"""

import signal
import time

import pytest

from trainlib.store.manifest import verify

MAINS = pytest.mark.parametrize(
    ("module", "number"), [("vmnet_jax.train", signal.SIGTERM), ("sdclr_jax.train", signal.SIGINT)]
)

COMPILATION = "trainlib.run.memory:step_memory"
WRITE = "trainlib.store.checkpoints:CheckpointStore._write"
AT_ONCE_S = 30  # the limit of a test, no measure: a pause is ten times as long


@MAINS
def test_23_during_the_compilation(start, arguments, tmp_path, module, number):
    """A call into C that takes minutes has its place; the real compilation is in the long form."""
    program = start(module, *arguments[module], f"--workdir={tmp_path}", long_call_in=COMPILATION)
    program.wait_for("in C ahead of step_memory")
    ends_in_the_compilation(program, number)


@pytest.mark.long
@MAINS
def test_23_during_the_real_compilation(start, arguments, tmp_path, module, number):
    """The real networks; a rate that no step was compiled for before. It takes half a minute."""
    rate = f"--config.learning_rate={0.1 + 1e-9 * time.time_ns() % 0.01}"
    program = start(module, *arguments[module], rate, f"--workdir={tmp_path}", networks="real")
    program.wait_for("Compiling a step, ")
    time.sleep(2)
    ends_in_the_compilation(program, number)


def ends_in_the_compilation(program, number):
    """The signal ends it immediately, and it says so."""
    program.signal(number)
    assert program.finish(AT_ONCE_S) == 75, program.err
    assert f"{signal.Signals(number).name} during compiling a step: stopped, run the same command" in program.err
    assert "First step" not in program.err


@MAINS
def test_23_in_a_step_in_a_save_and_a_second_signal(
    start, arguments, finished, assert_same_run, tmp_path, module, number
):
    """One run, interrupted three times; it ends with the bits of the uninterrupted one."""
    command = [module, *arguments[module], f"--workdir={tmp_path}"]

    in_step = start(*command, pause_in="trainlib.run.loop:TrainRun.finish", calls=(4,))
    in_step.wait_for("pausing in TrainRun.finish")
    assert "step 3/8" in in_step.err
    in_step.signal(number)
    in_step.wait_for("will save and stop after the running step")
    in_step.release(4)
    assert in_step.finish() == 75, in_step.err
    assert "which is saved; run the same command again to continue" in in_step.err
    stopped = max(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert f"stopped after step {stopped}" in in_step.err
    assert 3 <= stopped < 8

    twice = start(*command, pause_in=WRITE)
    twice.wait_for("pausing in CheckpointStore._write")
    assert f"Resuming after step {stopped} of 8" in twice.err
    twice.signal(number)
    twice.wait_for("will save and stop")
    time.sleep(0.3)  # two signals within 0.2 s count as one
    twice.signal(number)
    assert twice.finish(AT_ONCE_S) == 1
    assert "second signal" in twice.err

    in_save = start(*command, pause_in=WRITE)
    in_save.wait_for("pausing in CheckpointStore._write")
    in_save.signal(number)
    in_save.wait_for("will save and stop")
    in_save.release()
    assert in_save.finish() in (75, 0), in_save.err  # 0: the save was that of the last step
    for step in (tmp_path / "checkpoints").iterdir():
        verify(step)

    last = start(*command)
    assert last.finish() == 0, last.err
    assert_same_run(tmp_path, finished(module))


def test_23_in_an_evaluation_of_the_training(start, arguments, finished, assert_same_run, tmp_path):
    """The state is saved before, though none is due, so it leaves at once; the next run evaluates that step first."""
    command = ["vmnet_jax.train", *arguments["vmnet_jax.train"], "--config.save_every=3", f"--workdir={tmp_path}"]
    program = start(*command, pause_in="vmnet_jax.learn.validation:evaluate_scenes")
    program.wait_for("pausing in evaluate_scenes")
    program.signal(signal.SIGTERM)
    assert program.finish(AT_ONCE_S) == 75
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
    pause = "trainlib.store.checkpoints:CheckpointStore.read"
    program = start(module, f"--workdir={finished(trained)}", *more, pause_in=pause)
    program.wait_for("pausing in CheckpointStore.read")
    program.signal(signal.SIGTERM)
    assert program.finish(AT_ONCE_S) == 75
    assert f"SIGTERM during python -m {module}: stopped, run the same command again to continue" in program.err
