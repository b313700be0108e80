"""Labels meshes: python -m vmnet_jax.predict --workdir=DIR --mesh=FILE|FOLDER --output=DIR

Every vertex of the file gets a class and its probability, in the file's order. For each mesh the folder then holds
NAME.ply (coloured by class), NAME.labels.ply (the label map's ids), NAME.html (a page to turn the mesh round in) and
NAME.png. From Python: `load(workdir).predict(read_mesh(path))`.
"""

import argparse
import pathlib
import sys

import numpy as np
from tqdm import tqdm

from preprocess.build import build_scene
from preprocess.labels import LabelMap
from preprocess.mesh import Mesh, MeshError
from preprocess.readers import read_mesh
from preprocess.scene import Scene
from preprocess.sources import find_sources
from preprocess.units import METRES, UP_ROTATIONS
from trainlib import parallel
from trainlib.command import run_command
from trainlib.devices import check_platform
from trainlib.errors import UserError
from vmnet_jax.build import build_model
from vmnet_jax.inference import fitting_batches, make_forward, scene_scores
from vmnet_jax.prediction_files import Prediction, write_prediction
from vmnet_jax.restore import TrainedRun, load_run


class Predictor:
    """A trained network ready for meshes. Compiles once for each size of mesh (steps of a quarter)."""

    def __init__(self, run: TrainedRun, max_voxels: int = 0):
        """max_voxels: meshes with more voxels are seen in overlapping tiles; 0 for what the device's memory holds."""
        check_platform(run.config.platform)
        self._max_voxels, self._fitting = max_voxels, set()
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
        if votes < 1:
            raise UserError(f"votes is {votes}, it must be at least 1")
        config = self.run.config
        batches, pieces = fitting_batches(
            self._forward,
            self._variables,
            lambda name: scene,
            [scene.name],
            self._max_voxels,
            self._fitting,
            features=tuple(config.features),
            rotation=config.rotation,
            max_buckets=1,
            seed=config.seed,
        )
        (result,) = scene_scores(self._forward, self._variables, batches, pieces, votes)
        mean = (result.scores / votes).astype(np.float64)
        odds = np.exp(mean - mean.max(1, keepdims=True))
        classes = result.scores.argmax(1).astype(np.int32)
        return Prediction(classes, (odds.max(1) / odds.sum(1)).astype(np.float32), result.scores)


def load(workdir: str | pathlib.Path, step: str | int = "last", max_voxels: int = 0) -> Predictor:
    """The trained network of a workdir; step is "last", "best" or a number. max_voxels: see `Predictor`."""
    return Predictor(load_run(workdir, step), max_voxels)


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m vmnet_jax.predict", description=__doc__)
    parser.add_argument("--workdir", required=True, help="folder of the training run")
    parser.add_argument("--mesh", required=True, help="a PLY, OBJ, OFF, STL or GLB file, or a folder of them")
    parser.add_argument("--output", required=True, help="folder for the results")
    parser.add_argument("--step", default="last", help="last, best, or a step's number")
    parser.add_argument("--votes", type=int, default=1, help="random placements whose logits are summed; 1: as it lies")
    parser.add_argument("--max_voxels", type=int, default=0, help="tile larger meshes; 0: what the memory holds")
    parser.add_argument("--repair", action="store_true", help="leave out faces that touch NaN or Inf coordinates")
    parser.add_argument("--units", choices=tuple(METRES), help="unit of the file; default: that of the training data")
    parser.add_argument("--up", default="z", choices=tuple(UP_ROTATIONS), help="the file's upward axis")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Predicts each mesh and prints what was found and where the results lie."""
    source, output = pathlib.Path(arguments.mesh), pathlib.Path(arguments.output)
    if output.exists() and not output.is_dir():
        raise UserError(f"--output is a file, {output}; a folder is needed")
    folder = source if source.is_dir() else source.parent
    if output.resolve() == folder.resolve():
        raise UserError(f"--output is the folder of the meshes, {folder}: their files would be overwritten")
    sources = find_sources(source)
    predictor = load(arguments.workdir, arguments.step, arguments.max_voxels)
    units = arguments.units or predictor.run.units
    failed = 0
    for name, path in tqdm(sources, unit="mesh", disable=len(sources) == 1):
        try:
            mesh = read_mesh(path, units, arguments.up, arguments.repair)
            scene = build_scene(name, mesh, predictor.run.preprocessing)
        except (ValueError, OSError, MemoryError) as error:
            cause = error if isinstance(error, MeshError | OSError) else f"{path}: {error or 'out of memory'}"
            print(f"error: {cause}", file=sys.stderr)
            failed += 1
            continue
        prediction = predictor.predict_scene(scene, arguments.votes)
        stem = output / name
        write_prediction(stem, mesh, prediction, predictor.label_map, units, arguments.up)
        for note in scene.notes:
            print(f"{path}: {note}")
        print(f"{path}: {len(prediction.classes)} vertices: {_shares(prediction.classes, predictor.label_map)}")
        print(f"  {stem}.html  {stem}.png  {stem}.ply  {stem}.labels.ply")
    if failed:
        raise UserError(f"{failed} of {len(sources)} meshes could not be read; the others are in {output}")


def _shares(classes: np.ndarray, label_map: LabelMap) -> str:
    """The five most frequent classes: "wall 40 %, floor 22 %"."""
    share = np.bincount(classes, minlength=len(label_map.names)) / max(1, len(classes))
    largest = [k for k in np.argsort(-share, kind="stable")[:5] if share[k]]
    return ", ".join(f"{label_map.names[k]} {100 * share[k]:.0f} %" for k in largest)


if __name__ == "__main__":
    run_command(main, make_parser())
