"""Runs the project's and a peer's form of the same work in two processes, in turn, and names the machine."""

import contextlib
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from benchmarks import peers
from benchmarks.harness.worker import read_arrays

COMPILED = str(peers.ROOT / ".bench-data" / "compiled")
CPUS = 2
"""CPUs that both sides of every comparison get."""
PAUSE = 0.05
"""Seconds between the calls of two sides, in which the threads of the first fall asleep."""


@contextlib.contextmanager
def pinned(cpus: int = CPUS) -> Iterator[int]:
    """Processes started inside may use the first `cpus` CPUs that this one may (Linux); yields how many those are."""
    if not hasattr(os, "sched_setaffinity"):
        yield min(cpus, os.cpu_count() or 1)
        return
    allowed = os.sched_getaffinity(0)
    chosen = sorted(allowed)[:cpus]
    os.sched_setaffinity(0, chosen)
    try:
        yield len(chosen)
    finally:
        os.sched_setaffinity(0, allowed)


def describe_machine() -> dict:
    """Plain JSON values: processor, its number of CPUs, memory, system, Python, date, load average."""
    info, processor = pathlib.Path("/proc/cpuinfo"), platform.processor() or platform.machine()
    if info.exists():
        names = (line for line in info.read_text().splitlines() if line.startswith("model name"))
        named = next(names, "").partition(":")[2].strip()
        processor = named or processor
    return {
        "processor": processor,
        "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


class BenchmarkError(RuntimeError):
    """A side failed, or the sides disagree: which case and why."""


class PeerMissing(BenchmarkError):
    """A library of the peer's side is not installed."""


class Side(NamedTuple):
    """One side of a comparison.

    Attributes:
        module, case: where the case is defined.
        options: its keyword arguments, plain JSON values.
        threads: CPUs that its process may use.
        peer: whether it runs in the peers' environment.
    """

    module: str
    case: str
    options: Mapping[str, Any] = MappingProxyType({})
    threads: int = 2
    peer: bool = False


class Worker:
    """A process of `benchmarks.harness.worker` on a fixed set of CPUs, with the compilation cache `compiled`."""

    def __init__(self, side: Side, compiled: str = COMPILED):
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        with pinned(side.threads) as cpus:
            settings = {"OMP_NUM_THREADS": str(cpus), "MKL_NUM_THREADS": str(cpus), "JAX_PLATFORMS": "cpu"}
            self._process = subprocess.Popen(
                [str(peers.PYTHON) if side.peer else sys.executable, "-m", "benchmarks.harness.worker", side.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                cwd=peers.ROOT,
                env=os.environ | settings | {"JAX_COMPILATION_CACHE_DIR": compiled},
                text=True,
            )
        self._name = f"{side.module}.{side.case}"

    def ask(self, do: str, **request: Any) -> dict:
        """One request; raises BenchmarkError with the end of the process's messages if it dies of it."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._process.wait()
            self._log.seek(0)
            tail = self._log.read().decode(errors="replace")[-2000:]
            kind = PeerMissing if tail.strip().rpartition("\n")[2].startswith("ModuleNotFoundError") else BenchmarkError
            raise kind(f"{self._name}: the process ended with status {self._process.returncode}\n{tail}")
        return json.loads(answer)

    def outputs(self) -> dict[str, np.ndarray]:
        """The last call's outputs [...] by name."""
        with tempfile.TemporaryDirectory() as folder:
            path = str(pathlib.Path(folder) / "outputs.npz")
            self.ask("outputs", path=path)
            return read_arrays(path)

    def close(self) -> None:
        """Ends the process and waits for it."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._log.close()


class Workers:
    """The processes in use. Processes of another module or thread count are closed when new sides are requested."""

    def __init__(self):
        self._open: dict[tuple, Worker] = {}

    def get(self, *sides: Side) -> list[Worker]:
        """A process for each side."""
        keys = [(side.peer, side.module, side.threads) for side in sides]
        for key in [key for key in self._open if key not in keys]:
            self._open.pop(key).close()
        for key, side in zip(keys, sides):
            if key not in self._open:
                self._open[key] = Worker(side)
        return [self._open[key] for key in keys]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._open.values():
            worker.close()
        self._open.clear()


class Times(NamedTuple):
    """Medians by worker: seconds on the clock and of processor time; and GF/s alongside the first worker's calls."""

    seconds: list[float]
    cpu_seconds: list[float]
    gflops: float | None


def time_in_turn(workers: list[Worker], rounds: int, probe: bool = False) -> Times:
    """Times each worker's prepared case `rounds` times; with `probe` a matrix product goes before the first's calls."""
    answers: list[list[dict]] = [[] for _ in workers]
    speeds = []
    for _ in range(rounds):
        for index, worker in enumerate(workers):
            if probe and index == 0:
                speeds.append(worker.ask("probe")["gflops"])
            time.sleep(PAUSE)
            answers[index].append(worker.ask("run"))
    medians = [[statistics.median(one[key] for one in of) for of in answers] for key in ("seconds", "cpu_seconds")]
    return Times(*medians, statistics.median(speeds) if probe else None)


def assert_close(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], tolerance: float, name: str) -> float:
    """Largest difference over all arrays [...], each relative to the peer's largest entry.

    Raises BenchmarkError if the arrays have other names or shapes, or differ by more than `tolerance`.
    """
    if {k: v.shape for k, v in ours.items()} != {k: v.shape for k, v in theirs.items()}:
        raise BenchmarkError(f"{name}: the sides' outputs differ in names or shapes")
    worst = 0.0
    for key, ref in theirs.items():
        scale = float(np.abs(ref).max()) or 1.0
        error = float(np.abs(ours[key] - ref).max()) / scale
        if not error <= tolerance:
            raise BenchmarkError(f"{name}: {key} differs by {error:.2g} of its largest entry; allowed {tolerance:g}")
        worst = max(worst, error)
    return worst
