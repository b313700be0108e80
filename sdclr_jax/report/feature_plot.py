"""The features of test images in two dimensions, coloured by how large their class is in training."""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from sdclr_jax.probe.balancedness import GROUP_COLORS, MARKERS
from sdclr_jax.report.stored_features import METHODS, PCA, TSNE, TestFeatures
from trainlib.analysis.plots import INK, SOFT, legend_below, new_figure, save_figure, short_name, style_axes
from trainlib.core.errors import UserError
from trainlib.core.text import pluralize

MOST_NAMED = 20  # classes; more names would cover the points


def principal_components(values: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """PCA of float [N, C]: the two directions of largest variance, float64 [N, 2], and the axes' names.

    Each direction points to where its largest coefficient is positive.
    """
    centred = values.astype(np.float64) - values.mean(0, dtype=np.float64)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    first = directions[:2]
    first *= np.sign(np.take_along_axis(first, np.abs(first).argmax(1)[:, None], axis=1))
    variance = 100 * singular**2 / max((singular**2).sum(), 1e-30)
    x, y = (f"component {k + 1}: {variance[k]:.0f} % of the variance" for k in range(2))
    return centred @ first.T, (x, y)


def neighbour_embedding(values: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """t-SNE (van der Maaten and Hinton, 2008) of float [N, C], scikit-learn's, begun from PCA; axes have no meaning."""
    from sklearn import manifold  # takes seconds to import

    perplexity = min(30.0, (len(values) - 1) / 3)
    return manifold.TSNE(init="pca", perplexity=perplexity, random_state=0).fit_transform(values), ("", "")


_PLACES: dict[str, Callable] = {PCA: principal_components, TSNE: neighbour_embedding}


def draw_features(path: str | pathlib.Path, runs: Sequence[TestFeatures], method: str = "pca") -> None:
    """Writes the picture, a panel for each run; method: of `METHODS`. UserError for fewer than three images."""
    across, down = min(len(runs), 3), -(-len(runs) // 3)
    title = f"Features of test images, {METHODS[method]}: {len(runs[0].values):,} images by the size of their class"
    figure = new_figure(max(4.6 * across, 6.4), 4.6 * down + 0.9, title)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, run in zip(panels, runs):
        if len(run.values) < 3:
            raise UserError(f"{run.name}: {len(run.values)} test images; a picture of features needs three")
        _draw_run(axes, run, *_PLACES[method](run.values))
    for axes in panels[len(runs) :]:
        axes.set_axis_off()
    legend_below(figure, panels[0])
    save_figure(figure, path)


def _draw_run(axes: Axes, run: TestFeatures, places: np.ndarray, names: tuple[str, str]) -> None:
    """The small classes come last, on top of the others; the name of a class stands at the median of its images."""
    style_axes(axes, run.name, *names)
    axes.title.set_fontsize(9)
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    if not any(map(len, run.groups)):
        label = f"{len(run.class_names)} classes in no group"
        axes.scatter(*places.T, s=12, color=SOFT, alpha=0.65, linewidth=0, label=label)
    for (group, classes), marker in zip(run.groups._asdict().items(), MARKERS):
        if len(classes):
            label, color = f"{group.capitalize()}: {pluralize(len(classes), 'class')}", GROUP_COLORS[group]
            style = {"marker": marker, "color": color, "label": label}
            axes.scatter(*places[np.isin(run.labels, classes)].T, s=12, alpha=0.65, linewidth=0, **style)
    shown = np.unique(run.labels)
    for k in shown if len(shown) <= MOST_NAMED else ():
        name = short_name(run.class_names[k])
        style = {"color": INK, "fontsize": 11 if len(name) < 3 else 8, "fontweight": "bold", "ha": "center"}
        halo = [withStroke(linewidth=3, foreground="white")]
        axes.text(*np.median(places[run.labels == k], axis=0), name, va="center", path_effects=halo, **style)
