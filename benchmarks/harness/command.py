"""Measures rows, and what is printed of them."""

import json
import pathlib
import sys
from collections.abc import Sequence

from benchmarks import peers
from benchmarks.data import prepare_inputs
from benchmarks.harness import machine
from benchmarks.harness.pairs import BenchmarkError, Workers

FORMATS = {"s": ("{:10.2f} ms", 1e3), "MiB": ("{:10.0f} MiB", 1), "mm": ("{:10.3f} mm", 1)}


def measure(rows: Sequence, rounds: int | None, output: pathlib.Path | None) -> list[dict]:
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
            before = machine.describe()
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


def show(record: dict) -> str:
    """One line of the table."""
    form, factor = FORMATS[record["unit"]]
    ours, theirs = (form.format(factor * record[side]) for side in ("ours", "theirs"))
    bar = "-" if record["required"] is None else f"{record['required']:g}"
    met = {None: "", True: "met", False: "MISSED"}[record["met"]]
    quoted = f" quoted; {record['probe_gflops']:.0f} GF/s" if record.get("probe_gflops") else ""
    return f"{record['row']:62}{ours} {theirs}   x{record['ratio']:<7.2f} of {bar:5} {met:7} {record['peer']}{quoted}"


def table(records: Sequence[dict]) -> str:
    """All lines."""
    head = f"{'row':62}{'project':>13} {'peer':>13}   {'ratio':8} {'required':16}"
    return "\n".join([head, *map(show, records)])
