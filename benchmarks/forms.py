"""The forms of each kernel against each other on a synthetic room: python -m benchmarks.forms [--rounds=7]

Each operation's forms run in turn in one process, after their results were compared; the table gives medians and the
ratio to the portable form. Machines are shared and noisy: compare ratios, not times.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.harness.tables import KernelInputs, pad, random_rows, room_inputs
from kernels.device.attention.api import one_ring_attention
from kernels.device.sparse_conv.api import submanifold_conv
from kernels.device.trilinear import trilinear_read_out

TOLERANCE = 1e-5


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call, until its results are there."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def compare(name: str, forms: dict[str, Callable], arguments: tuple, rounds: int) -> None:
    """Prints a row a form: median of the forward pass and of value and gradient, and the first form's time over it."""
    passes = {}
    for form, function in forms.items():

        def total(*operands, function=function):
            return jnp.square(function(*operands)).sum()

        forward, both = jax.jit(function), jax.jit(jax.grad(total, argnums=tuple(range(len(arguments)))))
        passes[form] = (lambda f=forward: f(*arguments), lambda f=both: f(*arguments))
    reference, *others = (call() for call, _ in passes.values())
    for other in others:
        np.testing.assert_allclose(other, reference, atol=TOLERANCE * float(jnp.abs(reference).max()))
    times: dict[tuple[str, int], list[float]] = {(form, i): [] for form in passes for i in range(2)}
    for _ in range(rounds + 1):
        for form, calls in passes.items():
            for i, call in enumerate(calls):
                times[form, i].append(seconds(call))
    medians = {key: 1e3 * statistics.median(values[1:]) for key, values in times.items()}
    first = next(iter(forms))
    for form in forms:
        forward, both = medians[form, 0], medians[form, 1]
        ratios = medians[first, 0] / forward, medians[first, 1] / both
        print(f"{name:34} {form:10} {forward:9.1f} {both:9.1f}   x{ratios[0]:.1f} x{ratios[1]:.1f}", flush=True)


def run(inputs: KernelInputs, rounds: int) -> None:
    """All operations, the portable XLA form first."""
    forms = ("blocked", "numba") if jax.default_backend() == "cpu" else ("whole",)
    print(f"{'operation':34} {'form':10} {'fwd ms':>9} {'f+b ms':>9}   ratio")
    for level, channels in ((0, 32), (2, 96)):
        table = jnp.asarray(inputs.neighbours[level])
        features = pad(random_rows(level, inputs.voxels[level], channels))
        kernel = jnp.asarray(random_rows(1, 27 * channels, channels).reshape(27, channels, -1) / (27 * channels) ** 0.5)
        compare(
            f"3x3x3, {inputs.voxels[level]} voxels, {channels}",
            {m: lambda x, w, m=m, t=table: submanifold_conv(x, w, t, method=m) for m in forms},
            (features, kernel),
            rounds,
        )
    query, key, value = (pad(random_rows(seed, inputs.vertices, 32)) for seed in range(3))
    compare(
        f"one-ring attention, {inputs.vertices} vertices, 32",
        {
            m: lambda q, k, v, m=m: one_ring_attention(q, k, v, inputs.rings, inputs.keep, method=m)
            for m in forms
            if m != "whole"
        }
        or {"default": lambda q, k, v: one_ring_attention(q, k, v, inputs.rings, inputs.keep)},
        (query, key, value),
        rounds,
    )
    features = pad(random_rows(0, inputs.voxels[0], 32))
    compare(
        f"trilinear read-out, {inputs.vertices} points, 32",
        {m: lambda x, m=m: trilinear_read_out(x, inputs.corners, method=m) for m in forms},
        (features,),
        rounds,
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forms", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="timed calls of each form (default 7)")
    parser.add_argument("--resolution", type=float, default=0.025, help="edge length of the room in metres")
    options = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, jax {jax.__version__}, {jax.devices()}")
    run(room_inputs(options.resolution), options.rounds)


if __name__ == "__main__":
    main()
