"""The baseline of colour and height: a logistic regression on the scenes of a run."""

import pathlib

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from preprocess.labels.label_map import read_label_map
from preprocess.scene.scene_file import Scene
from trainlib.run.workdir import load_config
from vmnet_jax.data.scenes import SceneFolder, read_split
from vmnet_jax.learn.metrics import confusion
from vmnet_jax.report.report import summary

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
