"""Meshes in, scene files out.

  python -m preprocess.scenes --input DIR --output DIR [--split LIST] [--workers N] [--shard I/N]

Reads PLY, OBJ, OFF, STL and GLB files with their labels, builds seven mesh levels, one-ring tables, traces and voxels,
and writes OUTPUT/NAME.scene.npz and OUTPUT/label_map.csv. A second run does only what is missing or out of date.
docs/preprocess.md explains formats, units and reports.
"""

import argparse
import contextlib
import json
import pathlib
import signal
import sys
import time
from collections.abc import Sequence

from preprocess.cli.arguments import hierarchy_params, scenes_parser, shard_of
from preprocess.cli.sources import Clash, find_sources, meant, read_scene_list, resolve_names
from preprocess.cli.worker_pool import run_all
from preprocess.labels.choice import check_label_map, choose_label_map
from preprocess.labels.label_map import write_label_map
from preprocess.mesh.mesh import MeshError
from preprocess.scene.params import HierarchyParams
from trainlib.core import cli
from trainlib.core.errors import UserError
from trainlib.core.files import write_atomic
from trainlib.core.outputs import require_folder


class _Stopped(BaseException):
    """SIGTERM or SIGINT: the running scenes are given up, the finished ones are on disk."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0 done, 1 failures, 2 usage (raised), 75 stopped by a signal."""
    parser = scenes_parser(__doc__.split("\n\n")[0])
    flags = cli.parse(parser, arguments)
    params = hierarchy_params(parser, flags)
    shard, shards = shard_of(parser, flags.shard)
    try:
        with _stop_on_signals():
            return _run(flags, params, shard, shards)
    except BrokenPipeError:
        raise
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return cli.ERROR
    except _Stopped:
        print("stopped; the finished scenes are kept, the same command resumes from here", file=sys.stderr)
        return cli.STOPPED


def _run(flags: argparse.Namespace, params: HierarchyParams, shard: int, shards: int) -> int:
    start = time.perf_counter()
    output = pathlib.Path(flags.output)
    if flags.split and not pathlib.Path(flags.split).is_file():
        remedy = "Give a text file with one scene name per line, or omit --split to take all meshes."
        raise MeshError(f"--split {flags.split}", "there is no such file", remedy)
    check_label_map(flags.label_map)
    require_folder(output)
    sources, clashes, skipped = find_sources(flags.input)
    present = [found.name for found in (*sources, *clashes)]
    names = resolve_names(read_scene_list(flags.split), present) if flags.split else None
    by_name = {source.name: source.path for source in sources}
    chosen = [name for name in (by_name if names is None else names) if name in by_name]
    missing = [name for name in names or () if name not in present]
    meshes = list(by_name.values())
    label_map, notes = choose_label_map(flags.label_map, meshes, flags.unlabelled, flags.label_property)
    print("".join(f"--label_map {flags.label_map}: {note}\n" for note in notes), end="")
    write_label_map(output / "label_map.csv", label_map)

    from preprocess.cli.scene_task import Outcome, Reading, SceneTask, prepare_scene
    from preprocess.cli.summary import print_difference, print_report
    from preprocess.cli.warm_up import compile_kernels

    cli.imported()

    reading = Reading(**{name: getattr(flags, name) for name in Reading._fields})
    how = (output, reading, params, label_map, flags.overwrite)
    tasks = [SceneTask(name, by_name[name], *how) for name in chosen[shard::shards]]
    lost = _lost(flags, [clash for clash in clashes if names is None or clash.name in names], missing, present)
    if tasks:
        compile_kernels(params)
    outcomes = run_all(
        prepare_scene,
        tasks,
        flags.workers,
        died=lambda task, cause: Outcome(task.name, cause=f"{task.path}: {cause}"),
        show=lambda outcome: f"failed: {outcome.cause}" if outcome.header is None else "",
        error=True,
        unit="scene",
    )
    outcomes += [Outcome(name, cause=cause) for name, cause in lost.items()] if shard == 0 else []
    failed = [outcome for outcome in outcomes if outcome.header is None]
    print("".join(f"{line}\n" for line in skipped), end="")
    print_difference(flags, present, names, missing)
    failures = output / ("failed.json" if shards == 1 else f"failed-{shard}-of-{shards}.json")
    if failed:
        write_atomic(failures, json.dumps([{"name": f.name, "cause": f.cause} for f in failed], indent=1))
    else:
        failures.unlink(missing_ok=True)
    print_report(outcomes, time.perf_counter() - start, flags.verbose)
    return cli.ERROR if failed else cli.DONE


def _lost(flags: argparse.Namespace, clashes: list[Clash], missing: list[str], present: list[str]) -> dict[str, str]:
    """{name: cause} of names that several files have, and of names of the list without a mesh, unless they may miss."""
    lost = {clash.name: str(clash.error(clash.paths[0])) for clash in clashes}
    remedy = "Add the mesh, take it off the list, or give --allow_missing."
    for name in () if flags.allow_missing else missing:
        lost[name] = f"{name}: no mesh of this name in {flags.input}{meant(name, present)}. {remedy}"
    return lost


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


if __name__ == "__main__":
    cli.set_up_logging()
    cli.run(main)
