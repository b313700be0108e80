"""Labels meshes: python -m vmnet_jax.predict --workdir=DIR --mesh=FILE|FOLDER --output=DIR

Every vertex of the file gets a class and its probability, in the file's order. For each mesh the folder then holds
NAME.ply (the file's own vertices, faces and properties, coloured by class), NAME.labels.ply (the label map's ids),
NAME.html (a page to turn the mesh round in), NAME.png and, with --probabilities, NAME.probabilities.npz. No labels are
needed. From Python: `load(workdir).predict(read_mesh(path))`.
"""

import argparse
import logging
import pathlib
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from preprocess.arguments import UpParser
from preprocess.build import build_scene
from preprocess.labels import LabelMap
from preprocess.mesh import Mesh, MeshError
from preprocess.readers import read_mesh
from preprocess.scene import Scene
from preprocess.sources import find_sources
from preprocess.units import METRES
from preprocess.up_axis import AUTO, UP_NOTE, choose_up
from trainlib import parallel
from trainlib.command import natural, positive, run_command
from trainlib.devices import check_platform
from trainlib.errors import UserError
from trainlib.memory import StepMemory, memory_speed
from vmnet_jax.batching import Sizes
from vmnet_jax.build import build_model, vertex_inputs
from vmnet_jax.data import EvaluationBatches
from vmnet_jax.expectation import expect, host_memory
from vmnet_jax.inference import fitting_batches, make_forward, pass_memory, scene_scores
from vmnet_jax.prediction_files import Prediction, class_probabilities, write_prediction
from vmnet_jax.read_out import READ_OUTS, read_out_of
from vmnet_jax.restore import TrainedRun, load_run
from vmnet_jax.tiling import Pieces
from vmnet_jax.upright import needs_network, with_network

_log = logging.getLogger(__name__)


class Plan(NamedTuple):
    """How one scene is going to be seen."""

    batches: EvaluationBatches
    pieces: Pieces
    votes: int

    @property
    def passes(self) -> int:
        """Forward passes, over all tiles and votes."""
        return len(self.batches.names) * self.votes


class Predictor:
    """A trained network ready for meshes. A mesh that is much like an earlier one in size needs no compilation."""

    def __init__(self, run: TrainedRun, max_voxels: int = 0, read_out: str | None = None):
        """max_voxels: meshes with more voxels are seen in overlapping tiles; 0 for what the device's memory holds.

        read_out: one of `vmnet_jax.read_out.READ_OUTS`; None for the config's.
        """
        check_platform(run.config.platform)
        self._max_voxels, self._read_out = max_voxels, read_out or read_out_of(run.config)
        self._known: dict[Sizes, StepMemory | None] = {}
        self.run, self.label_map = run, run.label_map
        self._forward = make_forward(build_model(run.config, len(run.label_map.names)))
        self._variables = parallel.replicate(run.variables)

    def predict(self, mesh: Mesh, votes: int = 1) -> Prediction:
        """Labels one mesh (metres, z up, as `preprocess.readers.read_mesh` returns it).

        Args:
          votes: 1 looks once at the mesh as it lies, N > 1 sums N random rigid placements.
        """
        return self.predict_scene(build_scene("mesh", mesh, self.run.preprocessing), votes)

    def predict_scene(self, scene: Scene, votes: int = 1) -> Prediction:
        """Labels the vertices of a scene that was built with the run's preprocessing."""
        return self.carry_out(self.plan(scene, votes))

    def plan(self, scene: Scene, votes: int = 1) -> Plan:
        """In one pass or in tiles; compiles where it takes the compiler to know that the scene fits the memory."""
        if votes < 1:
            raise UserError(f"votes is {votes}, it must be at least 1")
        config = self.run.config
        batches, pieces = fitting_batches(
            self._forward,
            self._variables,
            lambda name: scene,
            [scene.name],
            self._max_voxels,
            self._known,
            features=tuple(config.features),
            rotation=config.rotation,
            max_buckets=1,
            seed=config.seed,
            vertices=vertex_inputs(config),
        )
        self._known.setdefault(batches.buckets[-1], None)
        return Plan(batches, pieces, votes)

    def memory(self, plan: Plan) -> StepMemory:
        """What each pass of a plan needs on a device; compiles it if that has not been done."""
        bucket = plan.batches.buckets[-1]
        if self._known.get(bucket) is None:
            self._known[bucket] = pass_memory(self._forward, self._variables, plan.batches)
        return self._known[bucket]

    def carry_out(self, plan: Plan, after_pass: Callable[[], object] = lambda: None) -> Prediction:
        """The passes of a plan; after_pass is called after each of them."""
        (result,) = scene_scores(
            self._forward, self._variables, plan.batches, plan.pieces, plan.votes, after_pass, self._read_out
        )
        classes = result.scores.argmax(1).astype(np.int32)
        probability = class_probabilities(result.scores, plan.votes).max(1)
        return Prediction(classes, probability, result.scores, plan.votes)


def load(
    workdir: str | pathlib.Path, step: str | int = "last", max_voxels: int = 0, read_out: str | None = None
) -> Predictor:
    """The trained network of a workdir; step is "last", "best" or a number. max_voxels, read_out: see `Predictor`."""
    return Predictor(load_run(workdir, step), max_voxels, read_out)


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = UpParser(prog="python -m vmnet_jax.predict", description=__doc__)
    parser.add_argument("--workdir", required=True, help="folder of the training run")
    parser.add_argument("--mesh", required=True, help="a PLY, OBJ, OFF, STL or GLB file, or a folder of them")
    parser.add_argument("--output", required=True, help="folder for the results")
    parser.add_argument("--step", default="last", help="last, best, or a step's number")
    parser.add_argument("--votes", type=positive, default=1, help="random placements, logits summed; 1: as it lies")
    parser.add_argument("--max_voxels", type=natural, default=0, help="tile larger meshes; 0: what the memory holds")
    parser.add_argument("--probabilities", action="store_true", help="write NAME.probabilities.npz: of every class")
    parser.add_argument("--repair", action="store_true", help="leave out faces that touch NaN or Inf coordinates")
    parser.add_argument("--units", choices=tuple(METRES), help="unit of the file; default: that of the training data")
    parser.add_up(None, "upward axis of the file; default: that of the training data; auto: from surface and network")
    parser.add_argument("--read_out", choices=READ_OUTS, help="logits at the file's vertices; default: the config's")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Predicts each mesh and prints what was found and where the results lie."""
    source, output = pathlib.Path(arguments.mesh), pathlib.Path(arguments.output)
    if output.exists() and not output.is_dir():
        raise UserError(f"--output is a file, {output}; a folder is needed")
    folder = source if source.is_dir() else source.parent
    if output.resolve() == folder.resolve():
        raise UserError(f"--output is the folder of the meshes, {folder}: their files would be overwritten")
    inside = output.resolve()
    sources = [mesh for mesh in find_sources(source) if inside not in mesh.path.resolve().parents]
    if not sources:
        raise UserError(f"{source}: all meshes lie in --output, {output}; results are not labelled again")
    predictor = load(arguments.workdir, arguments.step, arguments.max_voxels, arguments.read_out)
    size = sum(path.stat().st_size for _, path in sources) / 2**20
    _log.info("%d %s, %.1f MiB", len(sources), "mesh" if len(sources) == 1 else "meshes", size)
    _log.info("%s", network_line(arguments.workdir, predictor.run))
    failed, speed = 0, memory_speed()
    with logging_redirect_tqdm(), tqdm(sources, unit="mesh", disable=len(sources) == 1) as bar:
        for name, path in bar:
            began = time.monotonic()
            try:
                mesh, looked = _read(predictor, path, arguments)
                scene = build_scene(name, mesh, predictor.run.preprocessing)
            except (ValueError, OSError, MemoryError) as error:
                cause = error if isinstance(error, MeshError | OSError) else f"{path}: {error or 'out of memory'}"
                bar.write(f"error: {cause}", file=sys.stderr)
                failed += 1
                continue
            for note in scene.notes:
                bar.write(f"{path}: {note}", file=sys.stdout)
            prediction = _predict(predictor, path, scene, arguments.votes, speed, time.monotonic() - began - looked)
            paths = write_prediction(
                output / name,
                mesh,
                prediction,
                predictor.label_map,
                source=path,
                probabilities=arguments.probabilities,
            )
            shares = _shares(prediction.classes, predictor.label_map)
            bar.write(f"{path}: {len(prediction.classes)} vertices: {shares}", file=sys.stdout)
            bar.write(f"  {'  '.join(map(str, paths))}", file=sys.stdout)
    if failed:
        others = f"; the others are in {output}" if failed < len(sources) else ""
        raise UserError(f"{failed} of {len(sources)} meshes could not be read{others}")


def _read(predictor: Predictor, path: pathlib.Path, arguments: argparse.Namespace) -> tuple[Mesh, float]:
    """The mesh in the scene frame, and the seconds that the network looked at it.

    With --up=auto the network takes part where the surface leaves the axis open.
    """
    units, up = arguments.units or predictor.run.units, arguments.up or predictor.run.up
    mesh = read_mesh(path, units, up, arguments.repair)
    if up != AUTO or not needs_network(mesh.up_estimate, predictor.run.config.rotation):
        return mesh, 0.0
    began = time.monotonic()
    estimate = with_network(predictor, mesh, mesh.up_estimate)
    looked = time.monotonic() - began
    _log.info("%s: the network looked at six up axes in %.1f s", path, looked)
    chosen, note = choose_up(estimate, path.suffix)
    if chosen != mesh.up:
        mesh = read_mesh(path, units, chosen, arguments.repair)
    mesh.notes = [other for other in mesh.notes if UP_NOTE not in other] + [note]
    return mesh, looked


def network_line(workdir: str, run: TrainedRun) -> str:
    """Which network is applied and what it wants to see."""
    names = run.label_map.names
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    unit = run.units if run.units != "none" else "units"
    voxels = f"voxels of {run.preprocessing.voxel_size:g} {'m' if METRES[run.units] else unit}"
    return f"Network: step {run.step} of {workdir}; {len(names)} classes ({listed}); {voxels}"


def _predict(
    predictor: Predictor, path: pathlib.Path, scene: Scene, votes: int, speed: float, preparation_s: float
) -> Prediction:
    """Says what is going to be done and what it takes, and does it, with a bar for many passes."""
    vertices, voxels = len(scene.vertices), len(scene.voxels.coords[0])
    _log.info("%s: %d vertices, %d voxels", path, vertices, voxels)
    plan = predictor.plan(scene, votes)
    rounds = -(-plan.passes // parallel.num_devices())
    expected = expect(vertices, voxels, plan.passes, rounds, predictor.memory(plan), speed, preparation_s)
    _log.info("  expected: %s", expected)
    if expected.host > host_memory():
        _log.warning("  warning: that is more memory than there is. Cut the mesh into parts, or make it coarser.")
    with tqdm(total=plan.passes, unit="pass", leave=False, disable=plan.passes < 4) as bar:
        return predictor.carry_out(plan, bar.update)


def _shares(classes: np.ndarray, label_map: LabelMap) -> str:
    """The five most frequent classes: "wall 40 %, floor 22 %"."""
    share = np.bincount(classes, minlength=len(label_map.names)) / max(1, len(classes))
    largest = [k for k in np.argsort(-share, kind="stable")[:5] if share[k]]
    return ", ".join(f"{label_map.names[k]} {100 * share[k]:.0f} %" for k in largest)


if __name__ == "__main__":
    run_command(main, make_parser())
