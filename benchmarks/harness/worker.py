"""A process that times cases in turns for `benchmarks.harness.pairs`: python -m benchmarks.harness.worker MODULE

The same file serves the project's environment and the peers': it needs the standard library and NumPy. Requests are
JSON lines on stdin, answers JSON lines on what was stdout; libraries that print are sent to stderr.
"""

import importlib
import json
import os
import pathlib
import resource
import sys
import time
import timeit
from collections.abc import Callable, Mapping
from importlib import metadata
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

EXCHANGE = pathlib.Path(__file__).parents[2] / ".bench-data" / "exchange"
"""Where the project's case leaves the inputs for the peer's."""
PROBE = 2048
"""Edge of the float32 matrix product that measures a machine's speed."""
TURN = 0.2
"""Seconds of calls in one turn: short work is called again and again, as a training loop does."""


class Case(NamedTuple):
    """Something to time.

    Attributes:
        call: does the work once and returns when it is done.
        outputs: turns the result of `call` into named arrays [...], to compare with the other side.
        notes: facts about the input, plain JSON values.
    """

    call: Callable[[], Any]
    outputs: Callable[[Any], dict[str, np.ndarray]]
    notes: Mapping[str, Any] = MappingProxyType({})


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """All arrays [...] of an .npz by name."""
    with np.load(path) as file:
        return dict(file)


def read_exchange(name: str) -> dict[str, np.ndarray]:
    """The arrays [...] that the project's case has left for the peer's by `tables.exchange`."""
    return read_arrays(EXCHANGE / f"{name}.npz")


def gemm_probe(repeats: int = 3) -> float:
    """GF/s of the best of a few 2048-cube float32 products."""
    a = np.random.default_rng(0).standard_normal((PROBE, PROBE), np.float32)
    b, out = a.T.copy(), np.empty_like(a)
    seconds = timeit.repeat(lambda: np.matmul(a, b, out=out), number=1, repeat=repeats + 1)
    return 2 * PROBE**3 / min(seconds[1:]) / 1e9


def peak_mib() -> float:
    """Peak resident memory of this process since `reset_peak`, MiB."""
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def reset_peak() -> None:
    """Resets the peak to the resident memory, where the system can (Linux)."""
    clear = pathlib.Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


class Server:
    """Answers requests; holds one case at a time."""

    def __init__(self, module: str):
        self._module = importlib.import_module(module)
        self._case: Case | None = None
        self._last: Any = None
        self._seconds = TURN

    def versions(self) -> dict:
        """Versions of the libraries that the module measures."""
        return {"versions": {name: metadata.version(name) for name in self._module.LIBRARIES}}

    def prepare(self, case: str, options: dict) -> dict:
        """Builds a case (not timed) and calls it once, so that everything is compiled and allocated."""
        self._case = self._last = None
        reset_peak()
        self._case, self._seconds = getattr(self._module, case)(**options), TURN
        self._last = self._case.call()
        return {"notes": dict(self._case.notes)}

    def run(self) -> dict:
        """Mean seconds of the calls of one turn, on the clock and of processor time.

        Calls follow one another for `TURN` seconds. Where they are shorter than that, one that is not timed goes before
        them: it wakes the threads that have slept while the other side had its turn.
        """
        if self._seconds < TURN:
            self._case.call()
        calls, start, busy = 0, time.perf_counter(), time.process_time()
        while calls == 0 or time.perf_counter() - start < TURN:
            self._last = None
            self._last = self._case.call()
            calls += 1
        self._seconds = (time.perf_counter() - start) / calls
        return {"seconds": self._seconds, "cpu_seconds": (time.process_time() - busy) / calls}

    def outputs(self, path: str) -> dict:
        """Writes the last call's outputs to an .npz."""
        np.savez(path, **self._case.outputs(self._last))
        return {}

    def probe(self) -> dict:
        """GF/s now."""
        return {"gflops": gemm_probe()}

    def peak(self) -> dict:
        """Peak memory since the case was prepared."""
        return {"mib": peak_mib()}


def main() -> None:
    """Serves stdin until it closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = Server(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(server, request.pop("do"))(**request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
