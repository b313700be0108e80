"""Prediction: the labels of mesh files by a trained network."""

import argparse
import contextlib
import logging
import pathlib

import numpy as np

from preprocess.cli.sources import Found
from preprocess.labels.label_map import LabelMap
from preprocess.mesh.units import METRES
from trainlib.core.errors import UserError
from trainlib.core.progress import ItemProgress
from vmnet_jax.learn.restore import TrainedRun
from vmnet_jax.prediction.files import Prediction, write_prediction
from vmnet_jax.prediction.predictor import Predictor, load
from vmnet_jax.prediction.preparation import PreparedMesh, Reading, prepared

_log = logging.getLogger(__name__)


def predict(arguments: argparse.Namespace, found: Found) -> None:
    """Labels the meshes that were found, and prints the findings and the paths of the results.

    Args:
        arguments: of `vmnet_jax.predict`.
        found: the meshes of `arguments.mesh`.

    Raises:
        UserError: at the end, if meshes could not be read.
    """
    output, (sources, clashes, notes) = pathlib.Path(arguments.output), found
    predictor = load(arguments.workdir, arguments.step, arguments.max_voxels, read_out=arguments.read_out)
    size = sum(path.stat().st_size for _, path in sources) / 2**20
    _log.info("%d %s, %.1f MiB", len(sources), "mesh" if len(sources) == 1 else "meshes", size)
    _log.info("%s", network_line(arguments.workdir, predictor.run))
    for line in [*notes, *(f"error: {clash.error(clash.paths[0])}" for clash in clashes)]:
        _log.info("%s", line)
    failed, reading = len(clashes), Reading(arguments.units, arguments.up, arguments.repair)
    ready = prepared(sources, predictor, reading, votes=arguments.votes)
    with ItemProgress(len(sources), "mesh", shown=len(sources) > 1) as progress, contextlib.closing(ready):
        for (name, path), prepared_mesh in zip(sources, ready, strict=True):
            if isinstance(prepared_mesh, str):
                progress.write(f"error: {prepared_mesh}", error=True)
                progress.advance()
                failed += 1
                continue
            for note in prepared_mesh.notes:
                progress.write(f"{path}: {note}")
            prediction = _predict(predictor, prepared_mesh)
            files = {"source": path, "probabilities": arguments.probabilities}
            paths = write_prediction(output / name, prepared_mesh.mesh, prediction, predictor.label_map, **files)
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
    passes = prepared_mesh.plan.num_forward_passes
    with ItemProgress(passes, "pass", shown=passes > 3, leave=False) as progress:
        return predictor.run_plan(prepared_mesh.plan, progress.advance)[0]


def _shares(classes: np.ndarray, label_map: LabelMap) -> str:
    """The five most frequent classes: "wall 40 %, floor 22 %"."""
    share = np.bincount(classes, minlength=len(label_map.names)) / max(1, len(classes))
    largest = [k for k in np.argsort(-share, kind="stable")[:5] if share[k]]
    return ", ".join(f"{label_map.names[k]} {100 * share[k]:.0f} %" for k in largest)
