"""How long the tests take and how much memory they need: `python -m tests.durations ARGUMENTS OF PYTEST`.

It runs pytest with these arguments and writes the slowest tests to tests/DURATIONS.txt, which also decides in which
order workers take the files. Memory is that of all processes, those included that tests start, once a second; pages
that several processes have in common are divided among them.
"""

import collections
import pathlib
import re
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import psutil
import pytest

FILE = pathlib.Path(__file__).with_name("DURATIONS.txt")
SLOWEST = 60
PERIOD_S = 1.0
GIB = 2**30


class Timing(NamedTuple):
    """What one test took, its fixtures included."""

    name: str
    seconds: float
    memory: int  # bytes at the peak, of the worker and of what it had started; 0 if it was too quick to be seen


def processes_below(pid: int) -> list[psutil.Process]:
    """The process and all that it has started, directly or not; none if it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def memory_of(processes: Sequence[psutil.Process]) -> int:
    """Bytes in memory; shared pages are divided among the processes that have them."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:  # it has ended
            continue
    return total


class Recorder:
    """A plugin of the pytest process that starts the workers: notes the time of each test, and memory meanwhile."""

    def __init__(self) -> None:
        self.tests: list[Timing] = []
        self.peak = 0
        self._seconds: dict[str, float] = collections.Counter()
        self._peaks: dict[int, int] = {}  # by worker, since its running test began
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def pytest_sessionstart(self) -> None:
        self._sampler.start()

    def pytest_sessionfinish(self) -> None:
        self._ended.set()
        self._sampler.join()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration
        if report.when == "teardown":
            worker = dict(report.user_properties).get("worker", 0)  # a test that is always skipped has none
            self.tests.append(Timing(report.nodeid, self._seconds.pop(report.nodeid), self._peaks.get(worker, 0)))
            self._peaks[worker] = 0

    def note(self, memory: Mapping[int, int]) -> None:
        """Memory in bytes at one moment, by process that pytest has started, with all that is below it."""
        self.peak = max(self.peak, sum(memory.values()))
        for worker, now in memory.items():
            self._peaks[worker] = max(self._peaks.get(worker, 0), now)

    def _sample(self) -> None:
        own = psutil.Process()
        while not self._ended.wait(PERIOD_S):
            below = {child.pid: memory_of(processes_below(child.pid)) for child in own.children()}
            self.note(below | {own.pid: memory_of([own])})


def as_text(tests: Sequence[Timing], seconds: float, peak: int) -> str:
    """The stored file: one line of totals, then the slowest tests."""
    lines = [f"{len(tests)} tests in {seconds:.0f} s; {peak / GIB:.1f} GiB for all processes at the peak", ""]
    lines += [f"{'seconds':>8} {'GiB':>5}  test, its fixtures included; memory of its worker and what it started"]
    for test in sorted(tests, key=lambda test: -test.seconds)[:SLOWEST]:
        lines.append(f"{test.seconds:8.1f} {test.memory / GIB:5.1f}  {test.name}")
    return "\n".join(lines) + "\n"


def seconds_by_file(text: str) -> Mapping[str, float]:
    """From the stored file: the seconds of the slowest tests, by the file that they are in."""
    total: dict[str, float] = collections.Counter()
    for seconds, name in re.findall(r"^ *([\d.]+) +[\d.]+  (\S+?)::", text, re.MULTILINE):
        total[name] += float(seconds)
    return total


def longest_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The tests in an order in which files with much stored time come first; others stay as they are."""
    seconds = seconds_by_file(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return sorted(items, key=lambda item: -seconds.get(item.nodeid.partition("::")[0], 0))


def main(arguments: list[str]) -> int:
    """Runs pytest and, if all tests pass, writes the file."""
    recorder, began = Recorder(), time.monotonic()
    code = pytest.main(arguments, plugins=[recorder])
    if code == pytest.ExitCode.OK:
        FILE.write_text(as_text(recorder.tests, time.monotonic() - began, recorder.peak), encoding="utf-8")
        print(f"Written: {FILE.relative_to(pathlib.Path.cwd())}")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
