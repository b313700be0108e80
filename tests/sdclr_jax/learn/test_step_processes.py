"""The training step on two processes of two devices each, through jax.distributed, against one device."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from sdclr_jax.learn.masks import magnitude_masks
from sdclr_jax.learn.optim import sgd
from sdclr_jax.learn.step import create_state, make_train_step

ROOT = pathlib.Path(__file__).parents[3]
SCRIPT = """
import importlib.util, json, pathlib, sys
import jax
port, process = sys.argv[1:]
jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(process))
import numpy as np
def load(path):
    spec = importlib.util.spec_from_file_location(pathlib.Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
shared = load("tests/sdclr_jax/learn/test_step_processes.py")
net = load("tests/sdclr_jax/conftest.py").TinyNet
with jax.enable_x64(True):
    model = net(projection_size=16, widths=(8,), axis_name="devices")
    state, tx, views, rows = shared.problem(model)
    mine = slice(4 * int(process), 4 * int(process) + 4)
    def spread(x): return np.broadcast_to(x, (2, *np.shape(x)))
    step = jax.pmap(shared.make_train_step(model, tx, True), axis_name="devices")
    state, metrics = step(
        jax.tree.map(spread, state),
        views[:, mine].reshape(2, 2, 2, 8, 8, 3).transpose(1, 0, 2, 3, 4, 5),
        rows[mine].reshape(2, 2),
        spread(0.3),
    )
    def first(x): return np.asarray(x.addressable_shards[0].data)
    print(json.dumps(shared.summary(jax.tree.map(first, state), jax.tree.map(first, metrics))))
"""


def problem(model):
    """A state in float64, the optimiser, eight pairs of views, and which of them are real (seven)."""
    tx = sgd(0.1)
    state = create_state(model, tx, jax.random.key(0), (8, 8, 3), True)
    params, stats = jax.tree.map(lambda a: np.asarray(a, np.float64), (state.params, state.batch_stats))
    state = state.replace(
        params=params, batch_stats=stats, opt_state=tx.init(params), masks=magnitude_masks(params, 0.6)
    )
    state = jax.tree.map(np.asarray, state)
    return state, tx, np.random.default_rng(0).random((2, 8, 8, 8, 3)), np.arange(8) < 7


def summary(state, metrics):
    """Loss, gradient norm, and sum and norm of every array after the step."""
    arrays = [np.asarray(a, np.float64) for a in jax.tree.leaves((state.params, state.batch_stats))]
    return [float(np.ravel(metrics["loss"])[0]), float(np.ravel(metrics["grad_norm"])[0])] + [
        float(value) for a in arrays for value in (a.sum(), np.linalg.norm(a))
    ]


def test_two_processes_of_two_devices_agree_with_one_device(tiny_net):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": str(ROOT),
    }
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, port, str(process)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(2)
    ]
    try:
        outputs = [run.communicate(timeout=120) for run in runs]
    finally:
        for run in runs:
            run.kill()
    for run, (_, errors) in zip(runs, outputs):
        assert run.returncode == 0, errors[-2000:]
    results = [json.loads(out.splitlines()[-1]) for out, _ in outputs]
    assert results[0] == results[1]

    with jax.enable_x64(True):
        model = tiny_net(widths=(8,))
        state, tx, views, rows = problem(model)
        expected = summary(*jax.jit(make_train_step(model, tx, True))(state, views, rows, 0.3))
    assert results[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)
