"""The harness on toy cases: turns, comparison, quoted rows, memory, messages of processes that die."""

import json

import pytest

from benchmarks import peers
from benchmarks.harness.pairs import BenchmarkError, PeerMissing, Side, Workers
from benchmarks.harness.rows import REFERENCE_GFLOPS, MemoryRow, TimeRow

TOY, ABSENT = "tests.benchmarks.toy", "tests.benchmarks.toy_without_library"


@pytest.fixture(autouse=True)
def toys_are_peers(monkeypatch):
    """Toy peers run in this environment, on one CPU, so that they get a process of their own."""
    monkeypatch.setattr(peers, "is_ready", lambda: True)


@pytest.fixture(scope="module")
def workers():
    with Workers() as open_workers:
        yield open_workers


def row(ours: dict, theirs: dict, **options) -> TimeRow:
    sides = Side(TOY, "squares", ours), Side(TOY, "squares", theirs, threads=1)
    return TimeRow("toys", "a slower toy", *sides, **options)


def test_a_row_tells_times_ratio_and_bar(workers):
    (record,) = row({"seconds": 100}, {"seconds": 600}, required=2, aim=50, rounds=3).measure(workers, "made:x")
    assert 100 <= record["ours"] < 600 <= record["theirs"]
    assert record["ratio"] == record["theirs"] / record["ours"]
    assert record["met"] is True
    assert record["agreement"] == {"largest_difference": 0.0}
    assert record["notes"] == {"data": "made:x"}
    assert not record["quoted"]
    assert json.loads(json.dumps(record)) == record


def test_a_missed_bar(workers):
    (record,) = row({"seconds": 100}, {"seconds": 0.0}, required=1, rounds=1).measure(workers, "made:x")
    assert record["met"] is False


def test_sides_that_disagree_are_not_timed(workers):
    with pytest.raises(BenchmarkError, match=r"squares differs by 0\.089 of its largest"):
        row({"error": 0.8}, {}, tolerance=0.01).measure(workers, "made:x")


def test_sides_that_almost_agree(workers):
    (record,) = row({"error": 0.8}, {}, tolerance=0.1, rounds=1).measure(workers, "made:x")
    assert record["agreement"]["largest_difference"] == pytest.approx(0.8 / 9)


def test_a_peer_without_its_library_is_quoted_and_scaled(workers):
    quoted = TimeRow(
        "toys",
        "nobody",
        Side(TOY, "squares", {"seconds": 100}),
        Side(ABSENT, "squares", threads=1),
        required=1.0,
        quoted=0.5,
    )
    (record,) = quoted.measure(workers, "made:x", rounds=1)
    assert record["quoted"]
    assert record["theirs"] == 0.5
    assert record["ours_scaled"] == pytest.approx(record["ours"] * record["probe_gflops"] / REFERENCE_GFLOPS)
    assert record["ratio"] == pytest.approx(0.5 / record["ours_scaled"])


def test_a_peer_without_its_library_and_without_a_number_is_an_error(workers):
    nothing = TimeRow("toys", "nobody", Side(TOY, "squares"), Side(ABSENT, "squares", threads=1))
    with pytest.raises(BenchmarkError, match=r"benchmarks\.peers"):
        nothing.measure(workers, "made:x", rounds=1)


def test_a_process_that_dies_says_why():
    with Workers() as own:
        (process,) = own.get(Side(TOY, "broken"))
        with pytest.raises(BenchmarkError, match="the toy is broken") as caught:
            process.ask("prepare", case="broken", options={"data": ""})
        assert not isinstance(caught.value, PeerMissing)


def test_peak_memory_is_that_of_the_case_and_starts_anew(workers):
    peaks = []
    for mib in (200, 0):
        (record,) = row({"mib": mib}, {}, rounds=1).measure(workers, "made:x")
        peaks.append(record["peak_mib"][0])
    assert 190 < peaks[0] - peaks[1] < 260


def test_a_memory_row_has_a_first_and_a_later_run():
    memory = MemoryRow(
        "toy memory", "a larger toy", Side(TOY, "squares", {"mib": 50}), quoted_mib=1000.0, required=1.5, aim=2.0
    )
    with Workers() as unused:
        records = memory.measure(unused, "made:x")
    assert [record["row"] for record in records] == [
        "toy memory, first run, which compiles",
        "toy memory, later runs",
    ]
    assert all(record["ratio"] == 1000.0 / record["ours"] and record["ours"] > 50 for record in records)
