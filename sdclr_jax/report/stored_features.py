"""The features of test images that an evaluation has kept."""

import io
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sdclr_jax.probe.balancedness import Groups, group_classes
from sdclr_jax.report.evaluation import FEATURES
from sdclr_jax.report.table_rows import method_name, read_run
from trainlib.core.errors import UserError

PCA, TSNE = "pca", "tsne"
METHODS = {PCA: "principal components", TSNE: "t-SNE"}
"""Ways to two dimensions, and their names for people."""


class TestFeatures(NamedTuple):
    """Features `values` float32 [N, C] of test images of classes `labels` int [N], by the run `name` of the plot."""

    __test__ = False  # not a test of pytest's

    name: str
    values: np.ndarray
    labels: np.ndarray
    groups: Groups
    class_names: Sequence[str]


def read_features(path: str | pathlib.Path) -> TestFeatures:
    """Features of a run's newest evaluated step. Raises UserError if it was not evaluated, or by an older program."""
    run = read_run(path)
    file = run.path / "eval" / f"step_{run.report['step']}" / FEATURES
    if not file.exists():
        raise UserError(f"there is no {file}; run python -m sdclr_jax.evaluate --workdir={path}")
    with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as stored:
        values, labels = stored["features"], stored["labels"]
    counts = np.array(run.report["class_counts"])
    names = run.report.get("class_names", [str(k) for k in range(len(counts))])
    title = f"{method_name(run.config)}, step {run.report['step']}\n{run.path}"
    return TestFeatures(title, values, labels, group_classes(run.config.groups, counts), names)
