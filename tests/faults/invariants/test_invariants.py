"""Invariants of the mains: compilations, repeatability. The invariant about devices is in test_26_devices.py."""

import re

import pytest


def test_invariant_a_step_is_compiled_at_most_once_for_each_bucket(run, arguments, tmp_path):
    command = [*arguments["vmnet_jax.train"], "--config.max_buckets=2", f"--workdir={tmp_path}"]
    code, program = run("vmnet_jax.train", *command, log_compiles=True)
    assert code == 0, program.err
    buckets = re.search(r"buckets: (.*)", program.err)[1].split(";")
    # What runs on all devices is called _fun by JAX.
    mapped = re.findall(r"Finished XLA compilation of jit\(_fun\)", program.err)
    assert 1 <= len(mapped) <= len(buckets) + 1 <= 3, "steps, and the forward pass of the one validation scene"


@pytest.mark.parametrize("module", ["vmnet_jax.train", "sdclr_jax.train"])
def test_invariant_the_same_seed_twice_gives_the_same_bytes(
    run, arguments, finished, assert_same_run, tmp_path, module
):
    code, program = run(module, *arguments[module], f"--workdir={tmp_path}")
    assert code == 0, program.err
    assert_same_run(tmp_path, finished(module))
