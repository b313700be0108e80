"""benchmarks/RESULTS.md from the JSON lines of the last run: python -m benchmarks.results"""

import json
import pathlib

FOLDER = pathlib.Path(__file__).parent
LINES = FOLDER / "results.jsonl"
PAGE = FOLDER / "RESULTS.md"
UNITS = {"s": ("ms", 1e3), "MiB": ("MiB", 1), "mm": ("mm", 1)}


def write_results() -> None:
    """Writes the page again."""
    PAGE.write_text(render([json.loads(line) for line in LINES.read_text().splitlines()]))


def render(records: list[dict]) -> str:
    """The page: machine, versions, one line a record, what the quoted rows were scaled by."""
    machine = records[0]["machine"]
    versions: dict[str, str] = {}
    for record in records:
        versions |= record["versions"]
    loads = [record["machine"]["load_average"][0] for record in records]
    data = {"given": "stored scenes (BENCH_DATA)", "made": "made scenes"}[records[0]["data"]]
    head = [
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
    lines = [_line(record) for record in records]
    return "\n".join([*head, *lines, "", *_notes(records)]) + "\n"


def _line(record: dict) -> str:
    unit, factor = UNITS[record["unit"]]
    ours, theirs = (f"{_digits(factor * record[side])} {unit}" for side in ("ours", "theirs"))
    bars = [_bar(record[name]) for name in ("required", "aim")]
    met = {None: "", True: "yes", False: "**no**"}[record["met"]]
    who = record["peer"] + (", quoted" if record["quoted"] else "")
    cells = [record["row"], ours, theirs, who, f"{record['ratio']:.2f}", *bars, met]
    return "| " + " | ".join(cells) + " |"


def _digits(value: float) -> str:
    """Three significant digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _bar(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _notes(records: list[dict]) -> list[str]:
    notes = ["A ratio above 1 means that the project is faster, smaller or closer."]
    for record in records:
        if "probe_gflops" in record:
            notes.append(
                f"{record['row']}: the machine reached {record['probe_gflops']:.0f} GF/s beside it; scaled to the 180 "
                f"GF/s of the quoted measurement the project takes {1e3 * record['ours_scaled']:.0f} ms."
            )
        if record["kind"] == "distance":
            notes.append(f"{record['row']}: vertices {_pairs(record, 'vertices')}; mm {_pairs(record, 'millimetres')}.")
    return [f"- {note}" for note in notes]


def _pairs(record: dict, name: str) -> str:
    return ", ".join(f"{who} {_digits(value)}" for who, value in record["notes"][name].items())


if __name__ == "__main__":
    write_results()
