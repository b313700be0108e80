"""How time and memory grow with the size of a scene and of a batch: python -m benchmarks.growth

Pieces of one apartment with 12,000 to 400,000 voxels, and batches of 1 to 8 scenes of 25,000. Each point has two
its own processes on two CPUs: one preprocesses the mesh and compiles the training step, the other finds both on
disk, builds the tables of a batch, and trains; its peak of resident memory is the one that counts. Writes
benchmarks/growth.jsonl, docs/growth.png and the table in docs/speed.md.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

VOXELS = (12_000, 25_000, 50_000, 100_000, 200_000, 400_000)
SCENES = (1, 2, 4, 8)
SCENE_VOXELS = 25_000
POINTS = [(n, 1) for n in VOXELS] + [(SCENE_VOXELS, scenes) for scenes in SCENES[1:]]
ROOT = pathlib.Path(__file__).parents[1]
LINES = ROOT / "benchmarks" / "growth.jsonl"
PICTURE, PAGE = ROOT / "docs" / "growth.png", ROOT / "docs" / "speed.md"
BEGIN, END = "<!-- growth: begin -->", "<!-- growth: end -->"


def measure(points: list[tuple[int, int]]) -> list[dict]:
    """One record a point."""
    from benchmarks.data import apartment
    from benchmarks.harness.pairs import COMPILED, describe_machine, pinned

    apartment()
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": COMPILED}
    records = []
    for voxels, scenes in points:
        record = {"wanted_voxels": voxels, "scenes": scenes, "machine": describe_machine()}
        for task in ("prepare", "train"):
            command = [sys.executable, "-m", "benchmarks.harness.growth_point", task, str(voxels), str(scenes)]
            with pinned():
                done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            record |= json.loads(done.stdout.splitlines()[-1])
        records.append(record)
        print(json.dumps(record), flush=True)
    return records


def table(records: list[dict]) -> str:
    """Markdown."""
    first = records[0]["machine"]
    lines = [
        f"{first['processor']}, two CPUs, {first['date'][:10]}, load average {first['load_average'][0]} at the start:",
        "",
        "| scenes | voxels | vertices | preprocessing s | tables s | training step s | µs a voxel | XLA buffers MiB | "
        "peak memory MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    row = "| {scenes} | {voxels:,} | {vertices:,} | {preprocessing_s:.2f} | {tables_s:.2f} | {step_s:.2f} | "
    row += "{microseconds:.1f} | {xla_mib:.0f} | {peak_mib:.0f} |"
    lines += [row.format(**r, microseconds=1e6 * r["step_s"] / r["voxels"]) for r in records]
    return "\n".join(lines)


def write_table(records: list[dict], page: pathlib.Path) -> None:
    """Replaces what stands between the two marks."""
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{page} lacks the marks {BEGIN} and {END} between which the table goes")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{table(records)}\n{END}{after}")


def draw(records: list[dict], path: pathlib.Path) -> None:
    """Time of a step and peak memory against voxels, both axes logarithmic."""
    from trainlib.analysis.plots import new_figure, save_figure

    figure = new_figure(10, 4)
    axes = figure.subplots(1, 2)
    kinds = {
        "one scene": [r for r in records if r["scenes"] == 1],
        f"1 to 8 scenes of {SCENE_VOXELS:,}": [r for r in records if r["wanted_voxels"] == SCENE_VOXELS],
    }
    for axis, key, title in zip(axes, ("step_s", "peak_mib"), ("training step, s", "peak memory, MiB")):
        for (name, chosen), marker in zip(kinds.items(), "os"):
            axis.loglog([r["voxels"] for r in chosen], [r[key] for r in chosen], marker=marker, label=name)
        largest = kinds["one scene"][-1]
        ends = [records[0]["voxels"], largest["voxels"]]
        line = [largest[key] * n / largest["voxels"] for n in ends]
        axis.loglog(ends, line, "k:", linewidth=1, label="proportional")
        axis.set(xlabel="voxels", title=title)
        axis.grid(True, which="both", alpha=0.3)
    axes[0].legend()
    save_figure(figure, path)


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--up_to", type=int, default=max(VOXELS), help="skip larger points, and write nothing")
    parser.add_argument("--redraw", action="store_true", help="redraw picture and table from the last run's lines")
    return parser


def main() -> None:
    """Measures or redraws, and prints the table."""
    options = make_parser().parse_args()
    if options.redraw:
        records = [json.loads(line) for line in LINES.read_text().splitlines()]
    else:
        records = measure([p for p in POINTS if p[0] * p[1] <= options.up_to])
        if options.up_to < max(VOXELS):
            print(table(records))
            return
        LINES.write_text("".join(json.dumps(record) + "\n" for record in records))
    draw(records, PICTURE)
    write_table(records, PAGE)
    print(table(records))


if __name__ == "__main__":
    main()
