"""Where networks look in images of rare classes: python -m sdclr_jax.grad_cam RUN_A [RUN_B ...] --output=FILE.png

Figure 5 of the SDCLR paper: Grad-CAM (Selvaraju et al., ICCV 2017) of test images of the smallest classes, a row for
each run. Self-supervised networks have no classes: the score is a linear classifier's logit of the true
class. The classifier is fitted to the features of labelled training images, as for python -m sdclr_jax.exemplars.
"""

import argparse
import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes

from sdclr_jax.data.datasets import Dataset, check_dataset, load_dataset
from sdclr_jax.data.image_files import as_pixels
from sdclr_jax.learn.build import build_model
from sdclr_jax.learn.restore import TrainedRun, load_run
from sdclr_jax.model.contrastive import ContrastiveNet
from sdclr_jax.model.norm import DENSE
from sdclr_jax.probe.balancedness import Groups, empty_groups, group_classes
from sdclr_jax.probe.exemplar_predictor import labelled_rows, require_lists
from sdclr_jax.probe.features import FeatureReader
from sdclr_jax.probe.probe import LinearClassifier, fit_logistic, logits
from sdclr_jax.report.table_rows import method_name
from sdclr_jax.views.views import to_float
from trainlib.analysis.plots import INK, SOFT, new_figure, require_picture, save_figure, short_name
from trainlib.core.cli import natural, positive
from trainlib.core.errors import UserError
from trainlib.core.text import pluralize
from trainlib.run.command import run_command
from trainlib.run.devices import check_platform

_log = logging.getLogger(__name__)

SAME = ("dataset", "split", "lists", "groups", "view_size")  # settings in which runs must agree to see the same images


class Attention(NamedTuple):
    """One run: its name, maps float32 [N, H, W] in [0, 1] (0 without evidence) and predicted classes int [N]."""

    name: str
    maps: np.ndarray
    predicted: np.ndarray


def feature_maps(model: ContrastiveNet, variables: Any, images: jax.Array) -> jax.Array:
    """Features before the average pool, float32 [N, h, w, C], of uint8 images [N, H, W, 3]; dense branch."""
    _, state = model.apply(variables, to_float(images), DENSE, False, mutable=["intermediates"])
    return state["intermediates"]["backbone"]["maps"][0].astype(jnp.float32)


def grad_cam(maps: jax.Array, score: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """Equations 1 and 2 of the paper: relu(sum_c a_c A_c), a_c the mean over all places of d score / d A_c.

    Args:
        maps: A, float [N, h, w, C].
        score: maps -> [N], each from its own image alone.

    Returns:
        [N, h, w], at least 0.
    """
    weights = jax.grad(lambda maps: score(maps).sum())(maps).mean((1, 2), keepdims=True)
    return jax.nn.relu((weights * maps).sum(-1))


def class_score(classifier: LinearClassifier, labels: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """maps [N, h, w, C] -> the logits [N] of the classes `labels` int [N], after the average pool."""
    return lambda maps: jnp.take_along_axis(logits(classifier, maps.mean((1, 2))), labels[:, None], axis=1)[:, 0]


def enlarged(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Each map bilinearly over its image and divided by its maximum: [N, h, w] -> float32 [N, height, width]."""
    large = np.asarray(jax.image.resize(jnp.asarray(maps), (len(maps), height, width), "bilinear"))
    return large / np.maximum(large.max((1, 2), keepdims=True), 1e-12)


def tail_rows(labels: np.ndarray, groups: Groups, counts: np.ndarray, number: int) -> np.ndarray:
    """The first test images of the classes of Few, one of each class in turn, the smallest class first.

    Of all classes where none is in Few. UserError if these have no test image.

    Args:
        labels: int [N], of the test images.
        groups: of the classes.
        counts: int [C], images per class in D_i.
        number: of rows, at most.
    """
    classes = sorted(groups.few if len(groups.few) else range(len(counts)), key=lambda k: counts[k])
    rows = {k: np.flatnonzero(labels == k) for k in classes}
    turns = range(max(map(len, rows.values())))
    found = [rows[k][turn] for turn in turns for k in classes if turn < len(rows[k])][:number]
    if not found:
        raise UserError(f"the {len(classes)} smallest classes have no test image")
    return np.array(found)


def explain_run(run: TrainedRun, name: str, dataset: Dataset, rows: np.ndarray, limit: int) -> Attention:
    """One run's attention to the test images `rows` [N]; `limit` is the number of the classifier's training images."""
    model = build_model(run.config)
    train = labelled_rows(dataset.labels, dataset.full, limit)
    size = min(run.config.feature_batch_size, len(train))
    reader = FeatureReader(model, run.variables, "none", size, jax.random.key(0))
    classifier = fit_logistic(reader.plain(dataset.images[train]), dataset.labels[train])
    images, labels = np.asarray(as_pixels(dataset.test_images)[rows]), jnp.asarray(dataset.test_labels[rows])

    @jax.jit
    def attend(variables: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        maps = feature_maps(model, variables, images)
        return grad_cam(maps, class_score(classifier, labels)), logits(classifier, maps.mean((1, 2))).argmax(1)

    maps, predicted = attend(run.variables, images)
    return Attention(name, enlarged(np.asarray(maps), *images.shape[1:3]), np.asarray(predicted))


def plot_grad_cam(
    path: pathlib.Path,
    images: np.ndarray,
    labels: np.ndarray,
    seen: list[Attention],
    *,
    counts: np.ndarray,
    names: Sequence[str],
) -> None:
    """Writes the picture: the images uint8 [N, H, W, 3] above, below them a row for each run.

    Args:
        labels: int [N], classes of the images; counts, names: by class, in training.
    """
    title = "Grad-CAM of test images of the smallest classes: what speaks for the true class"
    figure = new_figure(max(1.9 + 1.25 * len(images), 7.4), 1.1 + 1.4 * (1 + len(seen)), title)
    panels = figure.subplots(1 + len(seen), len(images), squeeze=False)
    for axes, image, label in zip(panels[0], images, labels):
        _show(axes, image)
        name = f"class {label}" if names[label].isdecimal() else short_name(names[label])
        axes.set_title(f"{name}\n{counts[label]} in training", fontsize=8, color=SOFT)
    for row, one in zip(panels[1:], seen):
        row[0].set_ylabel(one.name, rotation=0, ha="right", va="center", fontsize=9, color=INK)
        for axes, image, heat, label, predicted in zip(row, images, one.maps, labels, one.predicted):
            _show(axes, image)
            axes.imshow(heat, cmap="turbo", vmin=0, vmax=1, alpha=0.5)
            verdict = "right" if predicted == label else f"says {short_name(names[predicted])}"
            axes.set_xlabel(verdict if heat.any() else f"{verdict}, no map", fontsize=8, color=SOFT, labelpad=2)
    save_figure(figure, path)


def _show(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def write_picture(
    workdirs: Sequence[str | pathlib.Path],
    output: str | pathlib.Path,
    *,
    number: int = 8,
    limit: int = 1000,
    step: str | int = "last",
    dataset: Dataset | None = None,
) -> list[Attention]:
    """Writes the picture of `number` images and returns what it shows. UserError: runs of different images.

    Args:
        limit: of the classifier's training images, the same number of each class; 0 for all.
        dataset: your own images, as passed to `train_and_evaluate`.
    """
    if number < 1:
        raise UserError(f"images is {number}; it must be at least 1")
    output = require_picture(output)
    runs = [load_run(workdir, step) for workdir in workdirs]
    config = runs[0].config
    for workdir, run in zip(workdirs, runs):
        differing = [key for key in SAME if run.config.get(key) != config.get(key)]
        if differing:
            raise UserError(f"{workdir} and {workdirs[0]} differ in {', '.join(differing)}: they have other images")
    check_platform(config.platform)
    dataset = load_dataset(config) if dataset is None else check_dataset(dataset)
    require_lists(dataset)
    counts = dataset.class_counts
    groups = group_classes(config.groups, counts)
    if not len(groups.few):
        _log.warning("%s; the smallest of all classes are shown", empty_groups(config.groups, counts))
    rows = tail_rows(dataset.test_labels, groups, counts, number)
    if len(rows) < number:
        _log.warning("The smallest classes have %s; %d were asked for", pluralize(len(rows), "test image"), number)
    seen = []
    for workdir, run in zip(workdirs, runs):
        seen.append(explain_run(run, f"{method_name(run.config)}\nstep {run.step}", dataset, rows, limit))
        _log.info("%s: %d of %d right", workdir, (seen[-1].predicted == dataset.test_labels[rows]).sum(), len(rows))
    images, labels = np.asarray(as_pixels(dataset.test_images)[rows]), dataset.test_labels[rows]
    plot_grad_cam(output, images, labels, seen, counts=counts, names=dataset.names)
    return seen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sdclr_jax.grad_cam", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="workdirs of training runs, a row each")
    parser.add_argument("--output", default="grad_cam.png", help="the picture")
    parser.add_argument("--images", type=positive, default=8, help="test images of the smallest classes")
    parser.add_argument("--step", default="last", help="last, or a step's number")
    parser.add_argument("--limit", type=natural, default=1000, help="training images of the classifier; 0 for all")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the path of the picture."""
    write_picture(arguments.runs, arguments.output, number=arguments.images, limit=arguments.limit, step=arguments.step)
    print(f"Picture: {arguments.output}")


if __name__ == "__main__":
    run_command(main, _parser())
