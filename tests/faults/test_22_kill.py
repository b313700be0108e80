"""Row 22: SIGKILL at any moment of a training; the run started again ends with the uninterrupted run's bits."""

import random
import signal
import time

import pytest

MAINS = ["vmnet_jax.train", "sdclr_jax.train"]


def killed_until_done(start, module, arguments, workdir, kills, seed):
    """Starts the run `kills` times and kills it after its first words, a random moment later; then lets it end."""
    rng = random.Random(seed)
    resumed = 0
    for _ in range(kills):
        program = start(module, *arguments, f"--workdir={workdir}")
        program.wait_for("cpu (host)")
        program.wait_for(rng.choice(["steps an epoch", "First step", "First step"]))
        time.sleep(rng.uniform(0, 1.5))
        program.signal(signal.SIGKILL)
        assert program.finish() in (-signal.SIGKILL, 0)
        resumed += "Resuming after" in program.err
    last = start(module, *arguments, f"--workdir={workdir}")
    assert last.finish() == 0, last.err
    return resumed


@pytest.mark.parametrize("module", MAINS)
def test_22_killed_at_random_moments(start, arguments, finished, assert_same_run, tmp_path, module):
    killed_until_done(start, module, arguments[module], tmp_path, 3, seed=0)
    assert_same_run(tmp_path, finished(module))


@pytest.mark.long
@pytest.mark.parametrize("module", MAINS)
def test_22_killed_ten_times(start, arguments, finished, assert_same_run, tmp_path, module):
    assert killed_until_done(start, module, arguments[module], tmp_path, 10, seed=1) > 0
    assert_same_run(tmp_path, finished(module))
