"""Meshes in, scene files out.

  python -m preprocess.scenes --input DIR --output DIR [--split LIST] [--workers N] [--shard I/N]

Reads PLY, OBJ, OFF, STL and GLB files with their labels, builds seven mesh levels, one-ring tables, traces and voxels,
and writes OUTPUT/NAME.scene.npz and OUTPUT/label_map.csv. A second run does only what is missing or out of date.
docs/preprocess.md explains formats, units and reports.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import sys
import time
from collections.abc import Sequence

from preprocess.cli.arguments import UpParser, add_label_arguments
from preprocess.cli.scene_task import Outcome, Reading, SceneTask, prepare_scene
from preprocess.cli.sources import Clash, find_sources, meant, read_scene_list, resolve_names, scene_names, select
from preprocess.cli.summary import print_report
from preprocess.cli.worker_pool import WorkerDied, run_in_workers
from preprocess.labels.choice import check_label_map, choose_label_map
from preprocess.labels.label_map import write_label_map
from preprocess.mesh.mesh import MeshError
from preprocess.mesh.units import METRES
from preprocess.scene.hierarchy import HIERARCHIES, LEVEL0_LABELS, LEVELS, PLACEMENTS, HierarchyParams, plan_levels
from trainlib.core import cli
from trainlib.core.cli import natural
from trainlib.core.errors import UserError
from trainlib.core.files import atomic_file
from trainlib.core.outputs import require_folder
from trainlib.core.progress import ItemProgress
from trainlib.core.text import pluralize

DONE, ERROR, STOPPED = cli.DONE, cli.ERROR, cli.STOPPED


class _Stopped(BaseException):
    """SIGTERM or SIGINT: the running scenes are given up, the finished ones are on disk."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0 done, 1 failures, 2 usage (raised), 75 stopped by a signal."""
    parser = _parser()
    flags = cli.parse(parser, arguments)
    params = _params(parser, flags)
    shard, shards = _shard(parser, flags.shard)
    try:
        with _stop_on_signals():
            return _run(flags, params, shard, shards)
    except BrokenPipeError:
        raise
    except (MeshError, UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return ERROR
    except _Stopped:
        print("stopped; the finished scenes are kept, the same command resumes from here", file=sys.stderr)
        return STOPPED


def _run(flags: argparse.Namespace, params: HierarchyParams, shard: int, shards: int) -> int:
    start = time.perf_counter()
    output = pathlib.Path(flags.output)
    _check_paths(flags, output)
    sources, clashes, skipped = find_sources(flags.input)
    present = [source.name for source in sources] + [clash.name for clash in clashes]
    names = resolve_names(read_scene_list(flags.split), present) if flags.split else None
    chosen, missing = select(sources, names)
    missing = [name for name in missing if name not in present]
    meshes = [source.path for source in sources]
    label_map, notes = choose_label_map(flags.label_map, meshes, flags.unlabelled, flags.label_property)
    print("".join(f"--label_map {flags.label_map}: {note}\n" for note in notes), end="")
    write_label_map(output / "label_map.csv", label_map)
    required = (flags.require_colors, flags.require_labels)
    reading = Reading(flags.units, flags.up, flags.repair, *required, flags.label_property)
    tasks = [
        SceneTask(source.name, source.path, output, reading, params, label_map, flags.overwrite)
        for source in chosen[shard::shards]
    ]
    lost = _lost(flags, [clash for clash in clashes if names is None or clash.name in names], missing, present)
    outcomes = _all_outcomes(tasks, flags.workers) + (lost if shard == 0 else [])
    failed = [outcome for outcome in outcomes if outcome.header is None]
    print("".join(f"{line}\n" for line in skipped), end="")
    _print_difference(flags, output, present, names, missing)
    _write_failed(output / ("failed.json" if shards == 1 else f"failed-{shard}-of-{shards}.json"), failed)
    print_report(outcomes, time.perf_counter() - start, flags.verbose)
    return ERROR if failed else DONE


def _lost(flags: argparse.Namespace, clashes: list[Clash], missing: list[str], present: list[str]) -> list[Outcome]:
    """Failures of names that several files have, and of names of the list without a mesh, unless they may miss."""
    causes = {clash.name: str(clash.error(clash.paths[0])) for clash in clashes}
    remedy = "Add the mesh, take it off the list, or give --allow_missing."
    for name in () if flags.allow_missing else missing:
        causes[name] = f"{name}: no mesh of this name in {flags.input}{meant(name, present)}. {remedy}"
    return [Outcome(name, None, False, 0.0, cause) for name, cause in causes.items()]


def _print_difference(
    flags: argparse.Namespace, output: pathlib.Path, present: list[str], names: list[str] | None, missing: list[str]
) -> None:
    """Names what list, meshes and scene files do not have in common."""
    if missing and flags.allow_missing:
        print(f"skipped, no mesh in {flags.input}: {_listed(missing)}")
    if names is not None:
        unlisted = sorted(set(present) - set(names))
        if unlisted:
            print(f"skipped, not in {flags.split}: {_listed(unlisted)}")
    extra = sorted(set(scene_names(output)) - set(present))
    if extra:
        print(f"warning: {output} has scene files without a mesh in {flags.input}: {_listed(extra)}")


def _listed(names: list[str]) -> str:
    return f"{pluralize(len(names), 'scene')} ({', '.join(names[:8])}{' ...' if names[8:] else ''})"


def _check_paths(flags: argparse.Namespace, output: pathlib.Path) -> None:
    """Raises MeshError, with the flag, for a missing list or map; UserError if the output cannot be written."""
    if flags.split and not pathlib.Path(flags.split).is_file():
        remedy = "Give a text file with one scene name per line, or omit --split to take all meshes."
        raise MeshError(f"--split {flags.split}", "there is no such file", remedy)
    check_label_map(flags.label_map)
    require_folder(output)


def _all_outcomes(tasks: list[SceneTask], workers: int) -> list[Outcome]:
    """One outcome a task, in the tasks' order, with progress; failures are shown as they happen."""
    outcomes: dict[int, Outcome] = {}
    results = run_in_workers(prepare_scene, tasks, min(workers, len(tasks)))
    with contextlib.closing(results), ItemProgress(len(tasks), "scene") as progress:
        for number, result in results:
            if isinstance(result, WorkerDied):
                cause = f"{tasks[number].path}: {result}. Try fewer --workers."
                result = Outcome(tasks[number].name, None, False, 0.0, cause)
            if result.header is None:
                progress.write(f"failed: {result.cause}", error=True)
            outcomes[number] = result
            progress.advance()
    return [outcomes[number] for number in range(len(tasks))]


@contextlib.contextmanager
def _stop_on_signals():
    """SIGINT and SIGTERM raise _Stopped inside the block."""

    def stop(signum, frame):
        raise _Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_failed(path: pathlib.Path, failed: list[Outcome]) -> None:
    """[{"name", "cause"}] of the failed scenes; no file if there is none."""
    if not failed:
        path.unlink(missing_ok=True)
        return
    with atomic_file(path) as file:
        file.write(json.dumps([{"name": f.name, "cause": f.cause} for f in failed], indent=1).encode())


def _parser() -> argparse.ArgumentParser:
    parser = UpParser(prog="python -m preprocess.scenes", description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--input", required=True, metavar="DIR", help="folder of meshes, searched recursively")
    add("--output", required=True, metavar="DIR", help="folder for the scene files")
    add("--split", metavar="LIST", help="text file of scene names, one per line; default: all meshes of the folder")
    add("--allow_missing", action="store_true", help="names of the list without a mesh are no failures")
    add("--shard", default="0/1", metavar="I/N", help="every N-th scene from the I-th on, counted from 0")
    add("--workers", type=natural, default=_cpus(), metavar="N", help="processes (default: one a CPU; 0: this process)")
    add("--overwrite", action="store_true", help="rebuild scenes that are up to date as well")
    add(
        "--units", choices=METRES, default="m", help="unit of the files; angstrom and none keep the numbers as they are"
    )
    parser.add_up("z", "up axis of the files (default z); auto takes for each mesh the one that its surface shows")
    add("--repair", action="store_true", help="keep meshes with NaN or Inf, without the faces that touch them")
    add("--require_colors", action="store_true", help="refuse meshes without colours instead of using grey")
    add("--require_labels", action="store_true", help="refuse meshes without labels")
    add("--label_map", default="scannet20", metavar="MAP", help="scannet20, auto, or a CSV id,name,red,green,blue")
    add_label_arguments(parser)
    add("--level0_labels", choices=LEVEL0_LABELS, default="nearest", help="how level 0 gets its labels")
    add(
        "--cells",
        default="0.02,0.04",
        metavar="A,B,...",
        help="clustering cells, finest first, in metres (or the unit of --units none); each is one level, 1 to 6 of "
        f"them, and quadric levels fill up to {LEVELS} (default 0.02,0.04: two and five)",
    )
    add(
        "--hierarchy",
        choices=HIERARCHIES,
        default=HIERARCHIES[0],
        help="cells, then quadric collapse (the default); or clustering at all levels, with growing cells after the "
        "first; or quadric collapse at all levels",
    )
    add("--quadric_levels", type=natural, metavar="N", help=f"levels after the cells; together they must be {LEVELS}")
    add("--ratio", type=float, default=0.3, help="faces that each quadric level keeps (default 0.3)")
    add("--placement", choices=PLACEMENTS, default="half_edge", help="where collapsed vertices go")
    add("--voxel_size", type=float, metavar="A", help="edge of a voxel (default: the first cell)")
    add("--ring_width", type=natural, default=16, metavar="K", help="slots of the one-ring tables (default 16)")
    add("--verbose", action="store_true", help="print the notes of all scenes")
    return parser


def _params(parser: argparse.ArgumentParser, flags: argparse.Namespace) -> HierarchyParams:
    """The hierarchy's parameters; wrong ones are usage errors."""
    try:
        cells = tuple(float(cell) for cell in flags.cells.split(",") if cell.strip())
    except ValueError:
        parser.error(f"--cells {flags.cells}: write comma-separated lengths, such as 0.02,0.04")
    try:
        if flags.voxel_size is None and not cells:
            raise ValueError("without cells give --voxel_size")
        if flags.hierarchy == "vc" and not cells:
            raise ValueError("--hierarchy vc grows from the first of --cells")
        if not 0 < flags.ratio < 1:
            raise ValueError(f"ratio must be between 0 and 1, it is {flags.ratio}")
        voxel_size = cells[0] if flags.voxel_size is None else flags.voxel_size
        cells, quadric_levels = plan_levels(flags.hierarchy, cells, flags.ratio)
        if flags.quadric_levels is not None:
            quadric_levels = flags.quadric_levels
        return HierarchyParams(
            cells, quadric_levels, flags.ratio, flags.placement, flags.ring_width, voxel_size, flags.level0_labels
        )
    except ValueError as error:
        parser.error(str(error))


def _shard(parser: argparse.ArgumentParser, text: str) -> tuple[int, int]:
    first, slash, second = text.partition("/")
    if not (slash and first.isdecimal() and second.isdecimal() and int(first) < int(second)):
        parser.error(f"--shard {text}: write I/N with 0 <= I < N, such as 0/4")
    return int(first), int(second)


def _cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    cli.run(main)
