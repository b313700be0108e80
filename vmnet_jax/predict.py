"""Labels meshes: python -m vmnet_jax.predict --workdir=DIR --mesh=FILE|FOLDER --output=DIR

Every vertex of the file gets a class and its probability, in the file's order. For each mesh the folder then holds
NAME.ply (the file's own vertices, faces and properties, coloured by class), NAME.labels.ply (the label map's ids),
NAME.html (a page to rotate the mesh in), NAME.png and, with --probabilities, NAME.probabilities.npz. No labels are
needed. From Python: `load(workdir).predict(read_mesh(path))`.
"""

import argparse
import contextlib
import logging
import pathlib

import numpy as np

from preprocess.cli.arguments import UpParser
from preprocess.cli.sources import Found, find_sources
from preprocess.labels.label_map import LabelMap
from preprocess.mesh.units import METRES
from trainlib.core.cli import natural, positive
from trainlib.core.errors import UserError
from trainlib.core.outputs import require_folder
from trainlib.core.progress import ItemProgress
from trainlib.run.command import run_command
from trainlib.run.memory import memory_speed
from vmnet_jax.learn.restore import TrainedRun
from vmnet_jax.prediction.files import Prediction, write_prediction
from vmnet_jax.prediction.predictor import Predictor, load
from vmnet_jax.prediction.preparation import PreparedMesh, Reading, prepared
from vmnet_jax.prediction.read_out import READ_OUTS

_log = logging.getLogger(__name__)


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = UpParser(prog="python -m vmnet_jax.predict", description=__doc__)
    parser.add_argument("--workdir", required=True, help="folder of the training run")
    parser.add_argument("--mesh", required=True, help="a PLY, OBJ, OFF, STL or GLB file, or a folder of them")
    parser.add_argument("--output", required=True, help="folder for the results")
    parser.add_argument("--step", default="last", help="last, best, or a step's number")
    parser.add_argument(
        "--votes", type=positive, default=1, help="random placements, logits summed; 1: the mesh as it is"
    )
    parser.add_argument("--max_voxels", type=natural, default=0, help="tile larger meshes; 0: what the memory holds")
    parser.add_argument("--probabilities", action="store_true", help="write NAME.probabilities.npz: of every class")
    parser.add_argument("--repair", action="store_true", help="skip faces that touch NaN or Inf coordinates")
    parser.add_argument("--units", choices=tuple(METRES), help="unit of the file; default: that of the training data")
    parser.add_up(None, "upward axis of the file; default: that of the training data; auto: from surface and network")
    parser.add_argument("--read_out", choices=READ_OUTS, help="logits at the file's vertices; default: the config's")
    return parser


def _find(source: pathlib.Path, output: pathlib.Path) -> Found:
    """The meshes of a file or folder but for results in `output`."""
    folder, inside = source if source.is_dir() else source.parent, output.resolve()
    if inside == folder.resolve():
        raise UserError(f"--output is the folder of the meshes, {folder}: their files would be overwritten")
    found = find_sources(source)
    sources = [mesh for mesh in found.sources if inside not in mesh.path.resolve().parents]
    clashes = [clash for clash in found.clashes if inside not in clash.paths[0].resolve().parents]
    if not sources and not clashes:
        raise UserError(f"{source}: all meshes are in --output, {output}; results are not labelled again")
    return Found(sources, clashes, found.notes)


def main(arguments: argparse.Namespace) -> None:
    """Predicts each mesh and prints the findings and the paths of the results."""
    output = pathlib.Path(arguments.output)
    sources, clashes, notes = _find(pathlib.Path(arguments.mesh), output)
    require_folder(output)
    predictor = load(arguments.workdir, arguments.step, arguments.max_voxels, read_out=arguments.read_out)
    size = sum(path.stat().st_size for _, path in sources) / 2**20
    _log.info("%d %s, %.1f MiB", len(sources), "mesh" if len(sources) == 1 else "meshes", size)
    _log.info("%s", network_line(arguments.workdir, predictor.run))
    for line in [*notes, *(f"error: {clash.error(clash.paths[0])}" for clash in clashes)]:
        _log.info("%s", line)
    failed, reading = len(clashes), Reading(arguments.units, arguments.up, arguments.repair)
    ready = prepared(sources, predictor, reading, votes=arguments.votes, speed=memory_speed())
    with ItemProgress(len(sources), "mesh", shown=len(sources) > 1) as progress, contextlib.closing(ready):
        for (name, path), found in zip(sources, ready, strict=True):
            if isinstance(found, str):
                progress.write(f"error: {found}", error=True)
                progress.advance()
                failed += 1
                continue
            for note in found.notes:
                progress.write(f"{path}: {note}")
            prediction = _predict(predictor, found)
            files = {"source": path, "probabilities": arguments.probabilities}
            paths = write_prediction(output / name, found.mesh, prediction, predictor.label_map, **files)
            shares = _shares(prediction.classes, predictor.label_map)
            progress.write(f"{path}: {len(prediction.classes)} vertices: {shares}")
            progress.write(f"  {'  '.join(map(str, paths))}")
            progress.advance()
    if failed:
        others = f"; the others are in {output}" if failed < len(sources) + len(clashes) else ""
        raise UserError(f"{failed} of {len(sources) + len(clashes)} meshes could not be read{others}")


def network_line(workdir: str, run: TrainedRun) -> str:
    """The applied network and its expected input."""
    names = run.label_map.names
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    unit = run.units if run.units != "none" else "units"
    voxels = f"voxels of {run.preprocessing.voxel_size:g} {'m' if METRES[run.units] else unit}"
    return f"Network: step {run.step} of {workdir}; {len(names)} classes ({listed}); {voxels}"


def _predict(predictor: Predictor, prepared_mesh: PreparedMesh) -> Prediction:
    """The passes of a mesh, with progress over many."""
    plan = prepared_mesh.plan
    passes = plan.num_forward_passes
    with ItemProgress(passes, "pass", shown=passes > 3, leave=False) as progress:
        return predictor.run_plan(plan, progress.advance)[0]


def _shares(classes: np.ndarray, label_map: LabelMap) -> str:
    """The five most frequent classes: "wall 40 %, floor 22 %"."""
    share = np.bincount(classes, minlength=len(label_map.names)) / max(1, len(classes))
    largest = [k for k in np.argsort(-share, kind="stable")[:5] if share[k]]
    return ", ".join(f"{label_map.names[k]} {100 * share[k]:.0f} %" for k in largest)


if __name__ == "__main__":
    run_command(main, make_parser())
