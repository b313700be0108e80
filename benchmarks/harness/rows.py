"""The rows of the table: what is compared with what, which ratio is asked for, and how a row is measured."""

import json
import pathlib
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.data import prepare_inputs
from benchmarks.harness.pairs import (
    BenchmarkError,
    PeerMissing,
    Side,
    Worker,
    Workers,
    assert_close,
    describe_machine,
    time_in_turn,
)
from benchmarks.results import show, table

REFERENCE_GFLOPS = 180.0
"""Speed of the machine on which the quoted numbers were taken, 2048-cube float32 product on its two CPUs."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class TimeRow:
    """The same work on both sides, timed in turn; `ratio` is the peer's median over the project's.

    Attributes:
        name: what is done.
        peer: who it is compared with.
        ours, theirs: the two sides; `theirs` None where the peer cannot be run at all.
        required, aim: least ratio, and the one to strive for.
        quoted: stored seconds of a missing peer; the project's time is then scaled by a matrix product that runs
            alongside it.
        tolerance: of the largest difference of outputs relative to the largest entry.
        check: compares the outputs instead; returns facts for the record and raises BenchmarkError.
        rounds: turns.
    """

    name: str
    peer: str
    ours: Side
    theirs: Side | None
    _: KW_ONLY
    required: float | None = None
    aim: float | None = None
    quoted: float | None = None
    tolerance: float = 1e-4
    check: Callable[[Arrays, Arrays], dict] | None = None
    rounds: int = 7

    def measure(self, workers: Workers, data: str, rounds: int | None = None) -> list[dict]:
        """One record. The outputs are compared before anything is timed."""
        sides = [self.ours] + ([self.theirs] if self.theirs is not None and peers.is_ready() else [])
        try:
            processes = workers.get(*sides)
            versions, notes = prepare(processes, sides, data)
        except PeerMissing:
            sides = [self.ours]
            processes = workers.get(*sides)
            versions, notes = prepare(processes, sides, data)
        rounds = rounds or self.rounds
        numbers = self._against_peer(processes, rounds) if len(sides) == 2 else self._against_number(processes, rounds)
        record = {"kind": "time", "unit": "s", "versions": versions, "notes": notes, "quoted": len(sides) == 1}
        record |= numbers | {"peak_mib": [process.ask("peak")["mib"] for process in processes]}
        return [finish(self, record | {"threads": [side.threads for side in sides]}, rounds)]

    def _against_peer(self, processes: list[Worker], rounds: int) -> dict:
        outputs = [process.outputs() for process in processes]
        if self.check is not None:
            agreement = self.check(*outputs)
        else:
            agreement = {"largest_difference": assert_close(*outputs, self.tolerance, self.name)}
        times = time_in_turn(processes, rounds)
        ours, theirs = times.seconds
        numbers = {"ours": ours, "theirs": theirs, "ratio": theirs / ours, "cpu_seconds": times.cpu_seconds}
        return numbers | {"agreement": agreement}

    def _against_number(self, processes: list[Worker], rounds: int) -> dict:
        if self.quoted is None:
            raise BenchmarkError(f"{self.name}: {self.peer} is not installed; run python -m benchmarks.peers")
        times = time_in_turn(processes, rounds, probe=True)
        ours, scaled = times.seconds[0], times.seconds[0] * times.gflops / REFERENCE_GFLOPS
        numbers = {"ours": ours, "theirs": self.quoted, "ratio": self.quoted / scaled, "ours_scaled": scaled}
        return numbers | {"probe_gflops": times.gflops, "cpu_seconds": times.cpu_seconds}


@dataclass(frozen=True)
class MemoryRow:
    """Peak resident memory of a process that does the work once, against a stored number.

    Attributes:
        name, peer, ours: as in `TimeRow`.
        quoted_mib: the peer's stored peak.
        required, aim: least ratio of the peer's peak to the project's, and the one to strive for.
    """

    name: str
    peer: str
    ours: Side
    _: KW_ONLY
    quoted_mib: float
    required: float
    aim: float

    def measure(self, workers: Workers, data: str, rounds: int | None = None) -> list[dict]:
        """Two records: of a process that compiles, and of one that finds the program in the cache, as later runs do."""
        records = []
        with tempfile.TemporaryDirectory() as compiled:
            for how in ("first run, which compiles", "later runs"):
                process = Worker(self.ours, compiled)
                versions, notes = prepare([process], [self.ours], data)
                process.ask("run")
                mib = process.ask("peak")["mib"]
                process.close()
                record = {"kind": "memory", "unit": "MiB", "versions": versions, "notes": notes, "quoted": True}
                record |= {"ours": mib, "theirs": self.quoted_mib, "ratio": self.quoted_mib / mib}
                records.append(finish(self, record | {"threads": [self.ours.threads]}, 1))
                records[-1]["row"] += f", {how}"
        return records


def both(part: str, case: str, peer: str = "", **options: Any) -> tuple[Side, Side]:
    """The project's and the peer's side of a case that has one name; `peer` is the peer's file if its name differs."""
    return (
        Side(f"benchmarks.rows.{part}", case, options),
        Side(f"benchmarks.peer.{peer or part}", case, options, peer=True),
    )


def prepare(processes: Sequence[Worker], sides: Sequence[Side], data: str) -> tuple[dict, dict]:
    """Prepares the case of each process; the versions of their libraries and the facts that they note."""
    versions: dict[str, str] = {}
    notes: dict[str, Any] = {}
    for process, side in zip(processes, sides):
        versions |= process.ask("versions")["versions"]
        notes |= process.ask("prepare", case=side.case, options={"data": data, **side.options})["notes"]
    return versions, notes


def finish(row: Any, record: dict, rounds: int) -> dict:
    """The record with the row's own fields, and whether its bar is met."""
    bars = {"required": row.required, "aim": row.aim}
    bars["met"] = None if row.required is None else record["ratio"] >= row.required
    return {"row": row.name, "peer": row.peer, "rounds": rounds, **record, **bars}


def measure(rows: Sequence, rounds: int | None, output: pathlib.Path | None = None) -> list[dict]:
    """Measures rows one after the other and prints each; `output` gets a JSON line a record as it comes.

    A row whose sides fail or disagree is reported and skipped; the exit status is then 1.
    """
    inputs = prepare_inputs()
    if not peers.is_ready():
        print("no peers (python -m benchmarks.peers installs them): stored numbers are quoted", file=sys.stderr)
    records, failures = [], []
    if output is not None:
        output.write_text("")
    with Workers() as workers:
        for row in rows:
            before = describe_machine()
            try:
                found = row.measure(workers, f"{inputs.source}:{inputs.folder}", rounds)
            except BenchmarkError as error:
                failures.append(row.name)
                print(f"FAILED {error}", file=sys.stderr, flush=True)
                continue
            for record in found:
                record |= {"data": inputs.source, "machine": before}
                records.append(record)
                print(show(record), flush=True)
                print(json.dumps(record), flush=True)
                if output is not None:
                    with output.open("a") as lines:
                        lines.write(json.dumps(record) + "\n")
    if failures:
        print("\n" + table(records))
        sys.exit(f"{len(failures)} of {len(rows)} rows failed: {'; '.join(failures)}")
    return records
