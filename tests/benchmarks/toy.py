"""Cases for the tests of the harness."""

import time

import numpy as np

from benchmarks.harness.worker import Case

LIBRARIES = ("numpy",)

_clock, _ahead = time.perf_counter, [0.0]


def squares(data: str, seconds: float = 0.0, error: float = 0.0, mib: int = 0) -> Case:
    """0, 1, 4, 9, plus an error; puts the clock of its process forward, and fills some memory."""
    time.perf_counter = lambda: _clock() + _ahead[0]

    def call():
        block = np.ones(mib << 17)
        _ahead[0] += seconds
        return np.arange(4.0) ** 2 + error + 0 * block.sum()

    return Case(call, lambda out: {"squares": out}, {"data": data})


def broken(data: str) -> Case:
    """Cannot be called."""

    def call():
        raise ArithmeticError("the toy is broken")

    return Case(call, lambda out: {})
