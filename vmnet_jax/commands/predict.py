"""Prediction: the labels of mesh files by a trained network."""

import argparse
import logging
import pathlib

import numpy as np

from kernels.host.jit import clock
from preprocess.cli.sources import Found
from preprocess.labels.label_map import LabelMap
from preprocess.mesh.mesh import MeshError
from preprocess.mesh.units import METRES
from preprocess.scene.build import build_scene
from preprocess.scene.scene_file import Scene
from trainlib.core.errors import UserError
from trainlib.core.progress import ItemProgress
from trainlib.run import parallel
from vmnet_jax.learn.restore import TrainedRun
from vmnet_jax.prediction.cost_estimate import expect, host_memory
from vmnet_jax.prediction.files import Prediction, write_prediction
from vmnet_jax.prediction.predictor import Predictor, load
from vmnet_jax.prediction.upright import read_upright

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
    failed = len(clashes)
    with ItemProgress(len(sources), "mesh", shown=len(sources) > 1) as progress:
        for name, path in sources:
            began = clock()
            try:
                mesh, looked = read_upright(predictor, path, arguments.units, arguments.up, arguments.repair)
                scene = build_scene(name, mesh, predictor.run.preprocessing)
            except (ValueError, OSError, MemoryError) as error:
                cause = error if isinstance(error, MeshError | OSError) else f"{path}: {error or 'out of memory'}"
                progress.write(f"error: {cause}", error=True)
                progress.advance()
                failed += 1
                continue
            for note in scene.notes:
                progress.write(f"{path}: {note}")
            preparation_s = clock() - began - looked
            prediction = _predict(predictor, path, scene, arguments.votes, preparation_s)
            files = {"source": path, "probabilities": arguments.probabilities}
            paths = write_prediction(output / name, mesh, prediction, predictor.label_map, **files)
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


def _predict(predictor: Predictor, path: pathlib.Path, scene: Scene, votes: int, preparation_s: float) -> Prediction:
    """Logs what is going to be done and what it takes, and does it, with progress over many passes."""
    _log.info("%s: %d vertices, %d voxels", path, len(scene.vertices), len(scene.voxels.coords[0]))
    plan = predictor.plan({scene.name: scene}.__getitem__, [scene.name], votes)
    passes = plan.num_forward_passes
    rounds, memory = -(-passes // parallel.num_devices()), predictor.memory(plan)
    expected = expect(scene, passes, rounds, memory, preparation_s=preparation_s)
    _log.info("  expected: %s", expected)
    if expected.host > host_memory():
        _log.warning("  warning: that is more memory than there is. Cut the mesh into parts, or make it coarser.")
    with ItemProgress(passes, "pass", shown=passes > 3, leave=False) as progress:
        return predictor.run_plan(plan, progress.advance)[0]


def _shares(classes: np.ndarray, label_map: LabelMap) -> str:
    """The five most frequent classes: "wall 40 %, floor 22 %"."""
    share = np.bincount(classes, minlength=len(label_map.names)) / max(1, len(classes))
    largest = [k for k in np.argsort(-share, kind="stable")[:5] if share[k]]
    return ", ".join(f"{label_map.names[k]} {100 * share[k]:.0f} %" for k in largest)
