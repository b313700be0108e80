"""Labels meshes: python -m vmnet_jax.predict --workdir=DIR --mesh=FILE|FOLDER --output=DIR

Every vertex of the file gets a class and its probability, in the file's order. For each mesh the folder then holds
NAME.ply (the file's own vertices, faces and properties, coloured by class), NAME.labels.ply (the label map's ids),
NAME.html (a page to rotate the mesh in), NAME.png and, with --probabilities, NAME.probabilities.npz. No labels are
needed. From Python: `load(workdir).predict(read_mesh(path))`.
"""

import argparse
import logging
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from preprocess.cli.arguments import UpParser
from preprocess.cli.sources import find_sources
from preprocess.formats.readers import read_mesh
from preprocess.labels.label_map import LabelMap
from preprocess.mesh.mesh import Mesh, MeshError
from preprocess.mesh.units import METRES
from preprocess.mesh.up_axis import AUTO, UP_NOTE, choose_up
from preprocess.scene.build import build_scene
from preprocess.scene.scene_file import Scene
from trainlib.core.cli import natural, positive
from trainlib.core.errors import UserError
from trainlib.core.outputs import require_folder
from trainlib.core.progress import ItemProgress
from trainlib.run import parallel
from trainlib.run.command import run_command
from trainlib.run.devices import check_platform
from trainlib.run.memory import StepMemory, memory_speed
from vmnet_jax.data.batching import Sizes
from vmnet_jax.data.scenes import EvaluationBatches
from vmnet_jax.data.tiling import TileSet
from vmnet_jax.learn.build import build_model, sample_settings
from vmnet_jax.learn.inference import fitting_batches, make_forward, pass_memory, scene_scores
from vmnet_jax.learn.restore import TrainedRun, load_run
from vmnet_jax.prediction.cost_estimate import expect, host_memory
from vmnet_jax.prediction.files import Prediction, class_probabilities, write_prediction
from vmnet_jax.prediction.read_out import READ_OUTS, read_out_of
from vmnet_jax.prediction.upright import needs_network, with_network

_log = logging.getLogger(__name__)


class PredictionPlan(NamedTuple):
    """How one scene is going to be seen."""

    batches: EvaluationBatches
    tiles: TileSet
    votes: int

    @property
    def num_forward_passes(self) -> int:
        """Forward passes, over all tiles and votes."""
        return len(self.batches.groups) * self.votes


class Predictor:
    """A trained network ready for meshes. A mesh that is much like an earlier one in size needs no compilation."""

    def __init__(self, run: TrainedRun, max_voxels: int = 0, scenes_per_batch: int = 1, read_out: str | None = None):
        """Keeps a network and the way to apply it.

        Args:
            max_voxels: meshes with more voxels are seen in overlapping tiles; 0 for what the device's memory holds.
            scenes_per_batch: scenes of `predict_scenes` that the network sees together.
            read_out: one of `vmnet_jax.prediction.read_out.READ_OUTS`; None for the config's.
        """
        check_platform(run.config.platform)
        self._max_voxels, self.scenes_per_batch = max_voxels, scenes_per_batch
        self._read_out = read_out or read_out_of(run.config)
        self._known: dict[Sizes, StepMemory | None] = {}
        self.run, self.label_map = run, run.label_map
        self._forward = make_forward(build_model(run.config, len(run.label_map.names)))
        self._variables = parallel.to_devices(run.variables)

    def predict(self, mesh: Mesh, votes: int = 1) -> Prediction:
        """Labels one mesh (metres, z up, as `preprocess.formats.readers.read_mesh` returns it).

        Args:
            votes: 1 looks once at the unaugmented mesh, N > 1 sums N random rigid placements.
        """
        return self.predict_scene(build_scene("mesh", mesh, self.run.preprocessing), votes)

    def predict_scene(self, scene: Scene, votes: int = 1) -> Prediction:
        """Labels the vertices of a scene that was built with the run's preprocessing."""
        return self.predict_scenes([scene], votes)[0]

    def predict_scenes(self, scenes: Sequence[Scene], votes: int = 1) -> list[Prediction]:
        """Labels scenes of different names, `scenes_per_batch` consecutive ones of them in each batch."""
        return self.run_plan(self.plan(scenes, votes))

    def plan(self, scenes: Sequence[Scene], votes: int = 1) -> PredictionPlan:
        """Batches of whole scenes or tiles. Compiles if only the compiler knows whether they fit the memory."""
        if votes < 1:
            raise UserError(f"votes is {votes}, it must be at least 1")
        config, named = self.run.config, {scene.name: scene for scene in scenes}
        batches, tiles = fitting_batches(
            self._forward,
            self._variables,
            named.__getitem__,
            [scene.name for scene in scenes],
            self._max_voxels,
            known=self._known,
            max_buckets=1,
            **sample_settings(config),
            votes=votes,
            scenes_per_batch=self.scenes_per_batch,
        )
        self._known.setdefault(batches.buckets[-1], None)
        return PredictionPlan(batches, tiles, votes)

    def memory(self, plan: PredictionPlan) -> StepMemory:
        """What each pass of a plan needs on a device; compiles it if that has not been done."""
        bucket = plan.batches.buckets[-1]
        if self._known.get(bucket) is None:
            self._known[bucket] = pass_memory(self._forward, self._variables, plan.batches)
        return self._known[bucket]

    def run_plan(self, plan: PredictionPlan, on_pass_done: Callable[[], object] = lambda: None) -> list[Prediction]:
        """The passes of a plan, a prediction for each of its scenes; on_pass_done is called after each pass."""
        how = {"on_pass_done": on_pass_done, "read_out": self._read_out}
        scored = scene_scores(self._forward, self._variables, plan.batches, plan.tiles, plan.votes, **how)
        return [_prediction(scores, plan.votes) for _, scores in scored]


def _prediction(scores: np.ndarray, votes: int) -> Prediction:
    """The prediction from summed logits float32 [V, K]."""
    return Prediction(scores.argmax(1).astype(np.int32), class_probabilities(scores, votes).max(1), scores, votes)


def load(
    workdir: str | pathlib.Path,
    step: str | int = "last",
    max_voxels: int = 0,
    scenes_per_batch: int = 1,
    read_out: str | None = None,
) -> Predictor:
    """The trained network of a workdir; step is "last", "best" or a number, the rest as in `Predictor`."""
    return Predictor(load_run(workdir, step), max_voxels, scenes_per_batch, read_out)


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
    """Predicts each mesh and prints the findings and the paths of the results."""
    source, output = pathlib.Path(arguments.mesh), pathlib.Path(arguments.output)
    folder = source if source.is_dir() else source.parent
    if output.resolve() == folder.resolve():
        raise UserError(f"--output is the folder of the meshes, {folder}: their files would be overwritten")
    inside = output.resolve()
    found = find_sources(source)
    sources = [mesh for mesh in found.sources if inside not in mesh.path.resolve().parents]
    clashes = [clash for clash in found.clashes if inside not in clash.paths[0].resolve().parents]
    if not sources and not clashes:
        raise UserError(f"{source}: all meshes are in --output, {output}; results are not labelled again")
    require_folder(output)
    predictor = load(arguments.workdir, arguments.step, arguments.max_voxels, read_out=arguments.read_out)
    size = sum(path.stat().st_size for _, path in sources) / 2**20
    _log.info("%d %s, %.1f MiB", len(sources), "mesh" if len(sources) == 1 else "meshes", size)
    _log.info("%s", network_line(arguments.workdir, predictor.run))
    for line in [*found.notes, *(f"error: {clash.error(clash.paths[0])}" for clash in clashes)]:
        _log.info("%s", line)
    failed, speed = len(clashes), memory_speed()
    with ItemProgress(len(sources), "mesh", shown=len(sources) > 1) as progress:
        for name, path in sources:
            began = time.monotonic()
            try:
                mesh, looked = _read(predictor, path, arguments)
                scene = build_scene(name, mesh, predictor.run.preprocessing)
            except (ValueError, OSError, MemoryError) as error:
                cause = error if isinstance(error, MeshError | OSError) else f"{path}: {error or 'out of memory'}"
                progress.write(f"error: {cause}", error=True)
                progress.advance()
                failed += 1
                continue
            for note in scene.notes:
                progress.write(f"{path}: {note}")
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
            progress.write(f"{path}: {len(prediction.classes)} vertices: {shares}")
            progress.write(f"  {'  '.join(map(str, paths))}")
            progress.advance()
    if failed:
        others = f"; the others are in {output}" if failed < len(sources) + len(clashes) else ""
        raise UserError(f"{failed} of {len(sources) + len(clashes)} meshes could not be read{others}")


def _read(predictor: Predictor, path: pathlib.Path, arguments: argparse.Namespace) -> tuple[Mesh, float]:
    """The mesh in the scene frame, and the seconds that the network looked at it.

    With --up=auto the network takes part where the surface leaves the axis open.
    """
    units, up = arguments.units or predictor.run.units, arguments.up or predictor.run.up
    label_property = predictor.run.params.get("label_property")
    mesh = read_mesh(path, units, up, arguments.repair, label_property=label_property)
    if up != AUTO or not needs_network(mesh.up_estimate, predictor.run.config.rotation):
        return mesh, 0.0
    began = time.monotonic()
    estimate = with_network(predictor, mesh, mesh.up_estimate)
    looked = time.monotonic() - began
    _log.info("%s: the network looked at six up axes in %.1f s", path, looked)
    chosen, note = choose_up(estimate, path.suffix)
    if chosen != mesh.up:
        mesh = read_mesh(path, units, chosen, arguments.repair, label_property=label_property)
    mesh.notes = [other for other in mesh.notes if UP_NOTE not in other] + [note]
    return mesh, looked


def network_line(workdir: str, run: TrainedRun) -> str:
    """The applied network and its expected input."""
    names = run.label_map.names
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    unit = run.units if run.units != "none" else "units"
    voxels = f"voxels of {run.preprocessing.voxel_size:g} {'m' if METRES[run.units] else unit}"
    return f"Network: step {run.step} of {workdir}; {len(names)} classes ({listed}); {voxels}"


def _predict(
    predictor: Predictor, path: pathlib.Path, scene: Scene, votes: int, speed: float, preparation_s: float
) -> Prediction:
    """Says what is going to be done and what it takes, and does it, with progress over many passes."""
    vertices, voxels = len(scene.vertices), len(scene.voxels.coords[0])
    _log.info("%s: %d vertices, %d voxels", path, vertices, voxels)
    plan = predictor.plan([scene], votes)
    rounds = -(-plan.num_forward_passes // parallel.num_devices())
    expected = expect(vertices, voxels, plan.num_forward_passes, rounds, predictor.memory(plan), speed, preparation_s)
    _log.info("  expected: %s", expected)
    if expected.host > host_memory():
        _log.warning("  warning: that is more memory than there is. Cut the mesh into parts, or make it coarser.")
    with ItemProgress(plan.num_forward_passes, "pass", shown=plan.num_forward_passes > 3, leave=False) as progress:
        return predictor.run_plan(plan, progress.advance)[0]


def _shares(classes: np.ndarray, label_map: LabelMap) -> str:
    """The five most frequent classes: "wall 40 %, floor 22 %"."""
    share = np.bincount(classes, minlength=len(label_map.names)) / max(1, len(classes))
    largest = [k for k in np.argsort(-share, kind="stable")[:5] if share[k]]
    return ", ".join(f"{label_map.names[k]} {100 * share[k]:.0f} %" for k in largest)


if __name__ == "__main__":
    run_command(main, make_parser())
