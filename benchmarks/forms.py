"""The forms of each kernel against each other, on the inputs of the rows: python -m benchmarks.forms [--rounds=7]

Each operation's forms run in turn in one process, after their results were compared; the table gives medians and the
ratio to the portable form. Machines are shared and noisy: compare ratios, not times.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import jax
import numpy as np

from benchmarks.data import prepare_inputs
from benchmarks.harness.worker import Case
from benchmarks.rows.device_kernels import attention, convolution, read_out

OPERATIONS = {
    "3x3x3, level 0, 32 channels": (convolution, {"level": 0, "channels": 32}),
    "3x3x3, level 2, 96 channels": (convolution, {"level": 2, "channels": 96}),
    "one-ring attention, 32 channels": (attention, {}),
    "trilinear read-out, 32 channels": (read_out, {}),
}
TOLERANCE = 1e-5


def compare(name: str, build: Callable[..., Case], options: dict, rounds: int) -> None:
    """Prints a row a form: median of the forward pass and with the backward pass, and the first form's time over it."""
    forms = ("blocked", "numba") if jax.default_backend() == "cpu" else (None,)
    cases = {
        (form, backward): build(**options, method=form, backward=backward)
        for form in forms
        for backward in (False, True)
    }
    reference, *others = (cases[form, False].outputs(cases[form, False].call())["y"] for form in forms)
    for other in others:
        np.testing.assert_allclose(other, reference, atol=TOLERANCE * np.abs(reference).max())
    times: dict[tuple, list[float]] = {key: [] for key in cases}
    for _ in range(rounds + 1):
        for key, case in cases.items():
            start = time.perf_counter()
            case.call()
            times[key].append(time.perf_counter() - start)
    medians = {key: 1e3 * statistics.median(values[1:]) for key, values in times.items()}
    for form in forms:
        forward, both = medians[form, False], medians[form, True]
        ratios = medians[forms[0], False] / forward, medians[forms[0], True] / both
        print(f"{name:34} {form or 'default':10} {forward:9.1f} {both:9.1f}   x{ratios[0]:.1f} x{ratios[1]:.1f}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forms", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="timed calls of each form (default 7)")
    rounds = parser.parse_args().rounds
    print(f"{platform.machine()}, Python {platform.python_version()}, jax {jax.__version__}, {jax.devices()}")
    print(f"{'operation':34} {'form':10} {'fwd ms':>9} {'f+b ms':>9}   ratio")
    inputs = prepare_inputs()
    for name, (build, options) in OPERATIONS.items():
        compare(name, build, options | {"data": f"{inputs.source}:{inputs.folder}"}, rounds)


if __name__ == "__main__":
    main()
