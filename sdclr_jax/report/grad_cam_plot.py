"""The picture of where networks look in images."""

import pathlib
from collections.abc import Sequence

import numpy as np

from sdclr_jax.probe.attention import Attention
from trainlib.analysis.plots import INK, SOFT, new_figure, save_figure, short_name


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

    `labels` int [N] are the images' classes; `counts`, in training, and `names` are by class.
    """
    title = "Grad-CAM of test images of the smallest classes: what speaks for the true class"
    figure = new_figure(max(1.9 + 1.25 * len(images), 7.4), 1.1 + 1.4 * (1 + len(seen)), title)
    panels = figure.subplots(1 + len(seen), len(images), squeeze=False)
    for column, image in zip(panels.T, images):
        for panel in column:
            panel.imshow(image, interpolation="nearest")
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
    for axes, label in zip(panels[0], labels):
        name = f"class {label}" if names[label].isdecimal() else short_name(names[label])
        axes.set_title(f"{name}\n{counts[label]} in training", fontsize=8, color=SOFT)
    for row, one in zip(panels[1:], seen):
        row[0].set_ylabel(one.name, rotation=0, ha="right", va="center", fontsize=9, color=INK)
        for axes, heat, label, predicted in zip(row, one.maps, labels, one.predicted):
            axes.imshow(heat, cmap="turbo", vmin=0, vmax=1, alpha=0.5)
            verdict = "right" if predicted == label else f"says {short_name(names[predicted])}"
            axes.set_xlabel(verdict if heat.any() else f"{verdict}, no map", fontsize=8, color=SOFT, labelpad=2)
    save_figure(figure, path)
