"""Says what is in meshes and scene files, and what is wrong with them, without building anything.

  python -m preprocess.check FILE_OR_DIR [--units U] [--up AXIS] [--repair] [--labels FILE] [--label_map MAP] [--json]

Each file gets a report: counts, size, colours, labels, what was detected, warnings, and the error that would stop it,
with what to do. The exit status is 1 if a file has an error. The flags are those of python -m preprocess.scenes.
"""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence

from tqdm import tqdm

from preprocess.arguments import count
from preprocess.file_report import Report, Task, report_file
from preprocess.labels import LabelMap, read_label_map, scannet20
from preprocess.mesh import MeshError, counted
from preprocess.pool import WorkerDied, run_in_workers
from preprocess.readers import LABELS_SUFFIX, READERS
from preprocess.scene import SUFFIX
from preprocess.units import METRES, UP_ROTATIONS

DONE, ERROR, STOPPED = 0, 1, 75


def find_files(path: pathlib.Path) -> list[pathlib.Path]:
    """The file itself, or all meshes, scene files and label files without a mesh under a folder, by path."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise MeshError(path, "there is no such file or folder", "Look for a misspelling.")
    files = [file for file in path.rglob("*") if file.is_file()]
    meshes = {f for f in files if f.suffix.lower() in READERS and not f.name.endswith(LABELS_SUFFIX)}
    stems = {file.with_suffix("") for file in meshes}
    labels = {file for file in files if file.name.endswith(LABELS_SUFFIX)}
    alone = {file for file in labels if file.with_name(file.name.removesuffix(LABELS_SUFFIX)) not in stems}
    found = meshes | alone | {file for file in files if file.name.endswith(SUFFIX)}
    if not found:
        remedy = f"Files that are read: {', '.join('*' + ending for ending in [*READERS, SUFFIX])}."
        raise MeshError(path, "no mesh and no scene file found", remedy)
    return sorted(found)


def _label_map(choice: str | None) -> LabelMap | None:
    """scannet20 or a CSV file; None without a choice."""
    if choice is None:
        return None
    if choice == "scannet20":
        return scannet20()
    if not pathlib.Path(choice).is_file():
        remedy = "Give scannet20 or a CSV file with the header id,name,red,green,blue."
        raise MeshError(f"--label_map {choice}", "there is no such file", remedy)
    return read_label_map(choice)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0 no errors, 1 errors, 2 usage (raised), 75 interrupted."""
    parser = _parser()
    flags = parser.parse_args(arguments)
    try:
        paths = find_files(pathlib.Path(flags.path))
        if flags.labels and len(paths) > 1:
            parser.error("--labels is for one mesh; in a folder the labels of NAME.ply are read from NAME.labels.ply")
        label_map = _label_map(flags.label_map)
        how = (flags.units, flags.up, flags.repair, flags.labels, label_map, flags.require_colors, flags.require_labels)
        reports = _all_reports([Task(path, *how) for path in paths], flags.workers, flags.json)
    except (MeshError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return ERROR
    except KeyboardInterrupt:
        return STOPPED
    failed = sum(bool(report.error) for report in reports)
    if flags.json:
        print(json.dumps({"files": [dataclasses.asdict(report) for report in reports], "failed": failed}, indent=1))
    else:
        warned = sum(bool(report.warnings) for report in reports)
        print(f"{counted(len(reports), 'file')}: {failed} with an error, {warned} with warnings")
    return ERROR if failed else DONE


def _all_reports(tasks: list[Task], workers: int, quiet: bool) -> list[Report]:
    """One report a task, in the tasks' order; printed as they come unless `quiet`, with a progress bar for several."""
    reports: dict[int, Report] = {}
    results = run_in_workers(report_file, tasks, min(workers, len(tasks)))
    with contextlib.closing(results), tqdm(total=len(tasks), unit="file", disable=len(tasks) == 1) as bar:
        for number, result in results:
            if isinstance(result, WorkerDied):
                result = Report(str(tasks[number].path), error=f"{result}. Try fewer --workers.")
            reports[number] = result
            if not quiet:
                bar.write("\n".join(result.lines()), file=sys.stdout)
            bar.update()
    return [reports[number] for number in range(len(tasks))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m preprocess.check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("path", metavar="FILE_OR_DIR", help="a mesh or scene file, or a folder, searched recursively")
    add("--units", choices=METRES, default="m", help="unit of the files (default m)")
    add("--up", choices=UP_ROTATIONS, default="z", help="up axis of the files (write --up=-y for a negative one)")
    add("--repair", action="store_true", help="judge meshes with NaN or Inf as they are after --repair")
    add("--labels", metavar="FILE", help="label file of the one mesh, where it is not NAME.labels.ply beside it")
    add("--label_map", metavar="MAP", help="count ids outside this map: scannet20 or a CSV file")
    add("--require_colors", action="store_true", help="a mesh without colours is an error")
    add("--require_labels", action="store_true", help="a mesh without labels is an error")
    add("--workers", type=count, default=0, metavar="N", help="processes (default 0: this one)")
    add("--json", action="store_true", help="print one JSON document instead of text")
    return parser


if __name__ == "__main__":
    sys.exit(main())
