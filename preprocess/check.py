"""Reports what meshes and scene files hold, and what is wrong with them, without building anything.

  python -m preprocess.check FILE_OR_DIR [--units U] [--up AXIS] [--repair] [--labels FILE] [--label_map MAP] [--json]

  python -m preprocess.check FOLDER --dataset=scannet|matterport3d [--split LIST]

Each file gets a report: counts, size, colours, labels, what was detected, warnings, and the error that would stop it,
with what to do. The exit status is 1 if a file has an error. For ScanNet and
Matterport3D the files that are needed and missing are listed too. python -m preprocess.scenes has the same flags.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence

from preprocess.cli.arguments import UpParser, add_label_arguments
from preprocess.cli.dataset_layouts import LAYOUTS, Missing, detect, listed_missing, missing_lines
from preprocess.cli.sources import find_files, read_scene_list
from preprocess.cli.worker_pool import run_all
from preprocess.formats.files import is_mesh
from preprocess.labels.choice import check_label_map, choose_label_map
from preprocess.labels.label_map import LabelMap
from preprocess.mesh.mesh import MeshError
from preprocess.mesh.units import METRES
from preprocess.scene.params import HierarchyParams
from trainlib.core import cli
from trainlib.core.cli import natural
from trainlib.core.errors import UserError
from trainlib.core.text import pluralize


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0 no errors, 1 errors, 2 usage (raised), 75 interrupted."""
    parser = make_parser()
    flags = cli.parse(parser, arguments)
    try:
        dataset = _dataset(flags)
        paths, clashes, skipped = find_files(pathlib.Path(flags.path))
        if flags.labels and len(paths) > 1:
            parser.error("--labels is for one mesh; in a folder the labels of NAME.ply are read from NAME.labels.ply")
        label_map, map_notes, map_error = _label_map(flags, [path for path in paths if path not in clashes])
        reports = _report_files(flags, paths, clashes, label_map)
    except BrokenPipeError:
        raise
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return cli.ERROR
    except KeyboardInterrupt:
        return cli.STOPPED
    failed = sum(bool(report.error) for report in reports)
    notes = [f"--label_map {flags.label_map}: {note}" for note in map_notes] + skipped
    if flags.json:
        document = {"files": [dataclasses.asdict(report) for report in reports], "failed": failed, "notes": notes}
        document |= {"error": str(map_error)} if map_error else {}
        print(json.dumps(document | ({"dataset": dataset._asdict()} if dataset else {}), indent=1))
    else:
        warned = sum(bool(report.warnings) for report in reports)
        print("".join(f"{note}\n" for note in notes), end="")
        missing = f", {len(dataset.meshes)} missing" if dataset and dataset.meshes else ""
        print(f"{pluralize(len(reports), 'file')}: {failed} with an error, {warned} with warnings{missing}")
    if map_error:
        print(f"error: {map_error}", file=sys.stderr)
    return cli.ERROR if failed or map_error or (dataset and dataset.meshes) else cli.DONE


def _report_files(
    flags: argparse.Namespace,
    paths: Sequence[pathlib.Path],
    clashes: Mapping[pathlib.Path, MeshError],
    label_map: LabelMap | None,
) -> list:
    """The `file_report.Report` of each file, printed as it comes unless they go into the JSON document."""
    from preprocess.cli.file_report import CheckTask, Report, report_file
    from preprocess.cli.scene_task import Reading

    cli.imported()

    reading = Reading(**{name: getattr(flags, name) for name in Reading._fields})
    how = (reading, flags.labels, label_map, flags.unlabelled, flags.voxel_size)
    tasks = [CheckTask(path, *how, clashes.get(path)) for path in paths]
    return run_all(
        report_file,
        tasks,
        flags.workers,
        died=lambda task, cause: Report(str(task.path), error=cause),
        show=lambda report: "" if flags.json else "\n".join(report.lines()),
        error=False,
        unit="file",
        shown=len(tasks) > 1,
    )


def _dataset(flags: argparse.Namespace) -> Missing | None:
    """The missing files of the named or detected data set, or of the list.

    None without any of them. Prints the layout and the missing files, unless they go into the JSON document.
    """
    folder = pathlib.Path(flags.path)
    key = flags.dataset or (detect(folder) if folder.is_dir() else None)
    if key is None and (flags.split is None or not folder.is_dir()):
        return None
    names = None if flags.split is None else read_scene_list(flags.split)
    layout = LAYOUTS.get(key)
    missing = listed_missing(folder, names) if layout is None else layout.missing(folder, names)
    if not flags.json:
        print("\n".join(missing_lines(layout, folder, missing)))
    return missing


def _label_map(
    flags: argparse.Namespace, paths: Sequence[pathlib.Path]
) -> tuple[LabelMap | None, list[str], MeshError | None]:
    """The chosen map (None without a choice), its notes, and the reason if it cannot be made."""
    if flags.label_map is None:
        return None, [], None
    check_label_map(flags.label_map)
    meshes = [path for path in paths if is_mesh(path)]
    try:
        return *choose_label_map(flags.label_map, meshes, flags.unlabelled, flags.label_property, flags.labels), None
    except MeshError as error:
        return None, [], error


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = UpParser(prog="python -m preprocess.check", description=__doc__, formatter_class=plain)
    add = parser.add_argument
    add("path", metavar="FILE_OR_DIR", help="a mesh or scene file, or a folder, searched recursively")
    add("--units", choices=METRES, default="m", help="unit of the files (default m)")
    parser.add_up("z", "up axis of the files (default z); auto takes for each mesh the one that its surface shows")
    add("--repair", action="store_true", help="judge meshes with NaN or Inf as they are after --repair")
    add("--labels", metavar="FILE", help="label file (PLY, npy, txt) of the one mesh, where it is not next to it")
    add_label_arguments(parser)
    add("--label_map", metavar="MAP", help="count ids outside this map: scannet20, auto, or a CSV file")
    add("--voxel_size", type=float, default=HierarchyParams().voxel_size, metavar="A", help="edge of a voxel")
    text = "say which files of this data set are needed and missing (else: if detected)"
    add("--dataset", choices=LAYOUTS, help=text)
    add("--split", metavar="LIST", help="say which of these scenes (or houses) are missing, one per line")
    add("--require_colors", action="store_true", help="a mesh without colours is an error")
    add("--require_labels", action="store_true", help="a mesh without labels is an error")
    add("--workers", type=natural, default=0, metavar="N", help="processes (default 0: this one)")
    add("--json", action="store_true", help="print one JSON document instead of text")
    return parser


if __name__ == "__main__":
    cli.set_up_logging()
    cli.run(main)
