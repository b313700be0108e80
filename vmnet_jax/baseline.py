"""What colour and height alone can predict: python -m vmnet_jax.baseline --workdir=DIR

A logistic regression from a vertex's colour and its height above the scene's lowest vertex to its class, trained on the
run's training scenes and scored on its validation scenes. A network that is not far above it has learned no shape.
"""

import argparse
import json
import pathlib

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from preprocess.labels.label_map import read_label_map
from preprocess.scene.scene_file import Scene
from trainlib.run.command import run_command
from trainlib.run.workdir import load_config
from vmnet_jax.data.scenes import SceneFolder, read_split
from vmnet_jax.learn.metrics import confusion
from vmnet_jax.report.report import format_summary, summary

VERTICES_PER_SCENE = 2000


def color_and_height(scene: Scene) -> np.ndarray:
    """float64 [V, 4]: red, green, blue in [0, 1] and height in the scene's unit."""
    height = scene.vertices[:, 2:] - scene.vertices[:, 2].min()
    return np.concatenate([scene.colors / 255.0, height], axis=1)


def train_baseline(scenes: list[Scene], seed: int = 0) -> LogisticRegression:
    """Fits on up to 2,000 labelled vertices a scene; squares and products of the four inputs included."""
    rng = np.random.default_rng(seed)
    inputs, labels = [], []
    for scene in scenes:
        rows = rng.permutation(np.flatnonzero(scene.labels >= 0))[:VERTICES_PER_SCENE]
        inputs.append(color_and_height(scene)[rows])
        labels.append(scene.labels[rows])
    model = make_pipeline(PolynomialFeatures(2), StandardScaler(), LogisticRegression(max_iter=1000, tol=1e-3))
    return model.fit(np.concatenate(inputs), np.concatenate(labels))


def evaluate_baseline(workdir: pathlib.Path) -> dict:
    """Trains and scores the baseline on the split of a run; returns `vmnet_jax.report.report.summary`."""
    config = load_config(workdir)
    scenes = SceneFolder(config.scenes, config.cache_gib)
    split = read_split(scenes.path, config.train_list, config.val_list, config.val_fraction)
    scenes.check(split.train + split.val)
    model = train_baseline([scenes(name) for name in split.train])
    names = read_label_map(scenes.path / "label_map.csv").names
    table = np.zeros((len(names), len(names)), np.int64)
    for scene in map(scenes, split.val):
        table += confusion(model.predict(color_and_height(scene)), scene.labels, len(names))
    return summary(table, names)


def main(arguments: argparse.Namespace) -> None:
    """Prints the baseline's table and, next to it, the newest evaluation of the run."""
    workdir = pathlib.Path(arguments.workdir)
    result = evaluate_baseline(workdir)
    print(format_summary(result))
    print(f"Logistic regression on colour and height: mean IoU {100 * result['mean_iou']:.1f} %")
    reports = sorted(workdir.glob("eval/*_val_*/report.json"), key=lambda p: p.stat().st_mtime)
    run = json.loads(reports[-1].read_text()) if reports else {"mean_iou": None}
    if run["mean_iou"] is not None:
        points = 100 * (run["mean_iou"] - result["mean_iou"])
        print(f"VMNet, step {run['step']}: mean IoU {100 * run['mean_iou']:.1f} % ({points:+.1f} points)")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vmnet_jax.baseline", description=__doc__)
    parser.add_argument("--workdir", required=True, help="folder of the training run")
    return parser


if __name__ == "__main__":
    run_command(main, _parser())
