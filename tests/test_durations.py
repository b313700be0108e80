"""The record of times and memory, and the order that follows from it."""

import os
import subprocess
import sys
from types import SimpleNamespace

from tests import durations
from tests.durations import GIB, SLOWEST, Recorder, Timing, as_text, longest_first, memory_of, processes_below

TESTS = [
    Timing("tests/a.py::one[x]", 1.25, GIB),
    Timing("tests/b.py::two", 7.0, 0),
    Timing("tests/a.py::three", 3.0, 2 * GIB),
]


def test_the_file_has_the_slowest_first_and_is_read_again():
    text = as_text(TESTS, 59.6, 3 * GIB)
    assert text.startswith("3 tests in 60 s; 3.0 GiB for all processes at the peak\n")
    assert [line.split()[-1] for line in text.splitlines()[-3:]] == ["tests/b.py::two", TESTS[2].name, TESTS[0].name]
    assert text.splitlines()[-1].split()[:2] == ["1.2", "1.0"]
    assert durations.seconds_by_file(text) == {"tests/a.py": 4.2, "tests/b.py": 7.0}
    many = [Timing(f"tests/a.py::{k}", float(k), 0) for k in range(100)]
    kept = [line for line in as_text(many, 1, 1).splitlines() if "::" in line]
    assert len(kept) == SLOWEST
    assert "::40" in kept[-1]


def test_files_that_took_long_come_first_and_the_rest_stays(monkeypatch, tmp_path):
    names = ["tests/new.py::x", "tests/a.py::one[x]", "tests/b.py::two", "tests/a.py::four", "tests/newer.py::y"]
    items = [SimpleNamespace(nodeid=name) for name in names]
    monkeypatch.setattr(durations, "FILE", tmp_path / "absent")
    assert longest_first(items) == items
    (tmp_path / "stored").write_text(as_text(TESTS, 1, 1))
    monkeypatch.setattr(durations, "FILE", tmp_path / "stored")
    order = [item.nodeid.split("/")[1] for item in longest_first(items)]
    assert order == ["b.py::two", "a.py::one[x]", "a.py::four", "new.py::x", "newer.py::y"]


def test_memory_counts_what_a_process_has_started():
    alone = memory_of(processes_below(os.getpid()))
    assert alone > 2**20
    code = "held = b'x' * 2**26; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        assert memory_of(processes_below(os.getpid())) > alone + 2**26
        child.communicate(b"\n")


def test_a_test_has_the_time_of_its_phases_and_the_peak_since_the_one_before():
    recorder = Recorder()

    def report(name, **seconds):
        for when, duration in seconds.items():
            said = SimpleNamespace(nodeid=name, when=when, duration=duration, user_properties=[("worker", 7)])
            recorder.pytest_runtest_logreport(said)

    recorder.note({7: 3 * GIB, 8: GIB})
    recorder.note({7: 2 * GIB, 8: GIB})
    report("a", setup=1.0, call=2.0, teardown=0.5)
    recorder.note({7: GIB, 8: 2 * GIB})
    report("b", setup=0.0, teardown=0.25)
    assert recorder.tests == [Timing("a", 3.5, 3 * GIB), Timing("b", 0.25, GIB)]
    assert recorder.peak == 4 * GIB
