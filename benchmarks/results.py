"""Records of rows as lines of text and as a page: python -m benchmarks.results

Makes benchmarks/RESULTS.md from the JSON lines of the last run.
"""

import argparse
import json
import pathlib
from collections.abc import Sequence

FOLDER = pathlib.Path(__file__).parent
LINES = FOLDER / "results.jsonl"
PAGE = FOLDER / "RESULTS.md"
UNITS = {"s": ("ms", 1e3, 2), "MiB": ("MiB", 1, 0), "mm": ("mm", 1, 3), "cpu s": ("cpu s", 1, 2)}
"""By unit of a record: the one that is shown, its factor, and decimals in lines of text."""


def show(record: dict) -> str:
    """One line of `table`."""
    unit, factor, decimals = UNITS[record["unit"]]
    ours, theirs = (f"{factor * record[side]:10.{decimals}f} {unit}" for side in ("ours", "theirs"))
    met = {None: "", True: "met", False: "MISSED"}[record["met"]]
    quoted = f" quoted; {record['probe_gflops']:.0f} GF/s" if record.get("probe_gflops") else ""
    bar = _bar(record["required"]) or "-"
    return f"{record['row']:62}{ours} {theirs}   x{record['ratio']:<7.2f} of {bar:5} {met:7} {record['peer']}{quoted}"


def table(records: Sequence[dict]) -> str:
    """All lines."""
    head = f"{'row':62}{'project':>13} {'peer':>13}   {'ratio':8} {'required':16}"
    return "\n".join([head, *map(show, records)])


def write_results() -> None:
    """Writes the page again."""
    PAGE.write_text(render([json.loads(line) for line in LINES.read_text().splitlines()]))


def render(records: list[dict]) -> str:
    """The page: machine, versions, one line a record, what the quoted rows were scaled by."""
    machine = records[0]["machine"]
    versions = {name: version for record in records for name, version in record["versions"].items()}
    loads = [record["machine"]["load_average"][0] for record in records]
    data = {"given": "stored scenes (BENCH_DATA)", "made": "made scenes"}[records[0]["data"]]
    lines = [
        "# Results",
        "",
        "Made by `make bench` on "
        f"{machine['date'][:10]}; do not edit. What the rows mean and how they are measured: docs/speed.md.",
        "",
        f"- {machine['processor']}, {machine['cpus']} CPUs of which both sides get two, {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}",
        f"- load average before the rows {min(loads)} to {max(loads)}; inputs: {data}",
        "- " + ", ".join(f"{name} {version}" for name, version in sorted(versions.items())),
        "",
        "| work | project | peer | who | ratio | required | aim | met |",
        "|---|---|---|---|---|---|---|---|",
    ]
    notes = ["A ratio above 1 means that the project is faster, smaller or closer."]
    for record in records:
        unit, factor, _ = UNITS[record["unit"]]
        sides = [f"{_digits(factor * record[side])} {unit}" for side in ("ours", "theirs")]
        who = record["peer"] + (", quoted" if record["quoted"] else "")
        met = {None: "", True: "yes", False: "**no**"}[record["met"]]
        cells = [record["row"], *sides, who, f"{record['ratio']:.2f}", _bar(record["required"]), _bar(record["aim"])]
        lines.append("| " + " | ".join([*cells, met]) + " |")
        if "probe_gflops" in record:
            notes.append(
                f"{record['row']}: the machine reached {record['probe_gflops']:.0f} GF/s alongside; scaled to the 180 "
                f"GF/s of the quoted measurement the project takes {1e3 * record['ours_scaled']:.0f} ms."
            )
        if record["kind"] == "distance":
            vertices, millimetres = (_pairs(record["notes"][name]) for name in ("vertices", "millimetres"))
            notes.append(f"{record['row']}: vertices {vertices}; mm {millimetres}.")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def _digits(value: float) -> str:
    """Three significant digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _bar(value: float | str | None) -> str:
    """A least ratio, or a text such as "1 s"."""
    return value if isinstance(value, str) else "" if value is None else f"{value:g}"


def _pairs(values: dict[str, float]) -> str:
    return ", ".join(f"{who} {_digits(value)}" for who, value in values.items())


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m benchmarks.results", description=__doc__).parse_args()
    write_results()
