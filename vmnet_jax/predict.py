"""Labels meshes: python -m vmnet_jax.predict --workdir=DIR --mesh=FILE|FOLDER --output=DIR

Every vertex of the file gets a class and its probability, in the file's order. For each mesh the folder then holds
NAME.ply (coloured by class), NAME.labels.ply (the label map's ids), NAME.html (a page to turn the mesh round in) and
NAME.png. From Python: `load(workdir).predict(read_mesh(path))`.
"""

import argparse
import pathlib
from typing import NamedTuple

import numpy as np

from preprocess.build import build_scene
from preprocess.labels import LabelMap, write_labels_ply
from preprocess.mesh import Mesh
from preprocess.readers import find_meshes, read_mesh
from trainlib import parallel
from trainlib.command import run_command
from vmnet_jax.build import build_model
from vmnet_jax.data import EvaluationBatches
from vmnet_jax.inference import make_forward, scene_scores
from vmnet_jax.page import write_page
from vmnet_jax.picture import write_picture
from vmnet_jax.restore import TrainedRun, load_run


class Prediction(NamedTuple):
    """What the network says of one mesh, in the order of its vertices."""

    classes: np.ndarray  # int32 [V], index into the label map
    probability: np.ndarray  # float32 [V], of that class
    scores: np.ndarray  # float32 [V, K], summed logits

    def ids(self, label_map: LabelMap) -> np.ndarray:
        """The label map's ids, uint16 [V]."""
        return np.asarray(label_map.ids, np.uint16)[self.classes]


class Predictor:
    """A trained network ready for meshes. Compiles once for each size of mesh (steps of a quarter)."""

    def __init__(self, run: TrainedRun):
        self.run, self.label_map = run, run.label_map
        self._forward = make_forward(build_model(run.config, len(run.label_map.names)))
        self._variables = parallel.replicate(run.variables)

    def predict(self, mesh: Mesh, votes: int = 1) -> Prediction:
        """Labels one mesh (metres, z up, as `preprocess.readers.read_mesh` returns it).

        Args:
          votes: 1 looks once at the mesh as it lies, N > 1 sums N random rigid placements.
        """
        scene = build_scene("mesh", mesh, self.run.preprocessing)
        config = self.run.config
        batches = EvaluationBatches(
            lambda name: scene,
            [scene.name],
            features=tuple(config.features),
            rotation=config.rotation,
            max_buckets=1,
            seed=config.seed,
        )
        (result,) = scene_scores(self._forward, self._variables, batches, lambda name: scene, votes)
        mean = (result.scores / votes).astype(np.float64)
        odds = np.exp(mean - mean.max(1, keepdims=True))
        classes = result.scores.argmax(1).astype(np.int32)
        return Prediction(classes, (odds.max(1) / odds.sum(1)).astype(np.float32), result.scores)


def load(workdir: str | pathlib.Path, step: str | int = "last") -> Predictor:
    """The trained network of a workdir; step is "last", "best" or a number."""
    return Predictor(load_run(workdir, step))


def confidence_colors(probability: np.ndarray) -> np.ndarray:
    """uint8 [V, 3]: from red at 0 over yellow at one half to green at 1."""
    p = np.clip(probability, 0, 1)[:, None]
    red, yellow, green = np.array([[200, 30, 30], [240, 220, 70], [40, 160, 70]], np.float64)
    low, high = red + 2 * p * (yellow - red), yellow + (2 * p - 1) * (green - yellow)
    return np.round(np.where(p < 0.5, low, high)).astype(np.uint8)


def write_prediction(output: pathlib.Path, name: str, mesh: Mesh, prediction: Prediction, label_map: LabelMap) -> None:
    """Writes NAME.ply, NAME.labels.ply, NAME.html and NAME.png, with ground truth and errors where there are labels."""
    output.mkdir(parents=True, exist_ok=True)
    palette, ids = np.asarray(label_map.colors, np.uint8), prediction.ids(label_map)
    predicted = palette[prediction.classes]
    layers = {"prediction": predicted}
    if mesh.colors is not None:
        layers = {"input colour": mesh.colors, **layers}
    if mesh.labels is not None:
        truth, _ = label_map.to_classes(mesh.labels)
        layers["ground truth"] = np.where(truth[:, None] >= 0, palette[truth], 90).astype(np.uint8)
        wrong = (truth >= 0) & (truth != prediction.classes)
        layers["errors"] = np.where(wrong[:, None], [210, 40, 40], [200, 200, 200]).astype(np.uint8)
    layers["confidence"] = confidence_colors(prediction.probability)
    counts = np.bincount(prediction.classes, minlength=len(palette))
    legend = [
        (label_map.names[k], tuple(palette[k].tolist()), int(counts[k])) for k in np.argsort(-counts) if counts[k]
    ]
    write_labels_ply(output / f"{name}.ply", mesh.vertices, mesh.faces, ids, predicted, prediction.probability)
    write_labels_ply(output / f"{name}.labels.ply", mesh.vertices, mesh.faces, ids)
    write_page(output / f"{name}.html", name, mesh.vertices, mesh.faces, layers, legend)
    write_picture(output / f"{name}.png", mesh.vertices, mesh.faces, layers, legend)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vmnet_jax.predict", description=__doc__)
    parser.add_argument("--workdir", required=True, help="folder of the training run")
    parser.add_argument("--mesh", required=True, help="a PLY, OBJ, OFF, STL or GLB file, or a folder of them")
    parser.add_argument("--output", required=True, help="folder for the results")
    parser.add_argument("--step", default="last", help="last, best, or a step's number")
    parser.add_argument("--votes", type=int, default=1, help="random placements whose logits are summed; 1: as it lies")
    parser.add_argument("--units", default=None, help="unit of the file; default: that of the training data")
    parser.add_argument("--up", default="z", help="the file's upward axis")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Predicts each mesh and prints what was found and where the results lie."""
    predictor = load(arguments.workdir, arguments.step)
    output = pathlib.Path(arguments.output)
    for path in find_meshes(arguments.mesh):
        mesh = read_mesh(path, units=arguments.units, up=arguments.up)
        prediction = predictor.predict(mesh, arguments.votes)
        write_prediction(output, path.stem, mesh, prediction, predictor.label_map)
        share = np.bincount(prediction.classes, minlength=len(predictor.label_map.names)) / len(prediction.classes)
        top = ", ".join(
            f"{predictor.label_map.names[k]} {100 * share[k]:.0f} %" for k in np.argsort(-share)[:5] if share[k]
        )
        print(f"{path}: {len(prediction.classes)} vertices: {top}")
        print(f"  {output / path.stem}.html  .png  .ply  .labels.ply")


if __name__ == "__main__":
    run_command(main, _parser())
