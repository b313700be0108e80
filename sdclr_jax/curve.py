"""Pictures of runs: python -m sdclr_jax.curve RUN... --output=FILE.png [--kind=training|features]

forgetting  Figure 2 of the paper: the share of many, medium and few among the tenth of the training images that are
            forgotten most (1 - cosine between the two branches' projections of the unaugmented image), or among the
            hundredth, as published (--most=hundredth); of SDCLR runs. Lines are means over the runs, bands their
            sample deviation (n - 1), dashed lines the share among all images
training    loss, learning rate, sparsity of all layers and of each, and the share of mask entries that changed, a line
            for each run
features    features of test images in two dimensions, by PCA or t-SNE (--method), coloured by the size of their class:
            a panel for each evaluated run
"""

import argparse
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sdclr_jax.probe.balancedness import GROUP_COLORS, MARKERS, Groups
from sdclr_jax.report.feature_plot import METHODS, draw_features, read_features
from sdclr_jax.report.training_plot import draw_training
from trainlib.analysis.plots import SOFT, legend_below, new_figure, require_picture, save_figure, style_axes
from trainlib.core.errors import UserError
from trainlib.run.command import run_command
from trainlib.run.metrics import read_metrics, read_runs


class Curves(NamedTuple):
    """Shares over the epochs, as recorded by the training.

    Attributes:
        epochs: float [E].
        forgotten: by group, float [runs, E].
        present: by group, float [runs]: the share among all training images.
    """

    epochs: np.ndarray
    forgotten: dict[str, np.ndarray]
    present: dict[str, np.ndarray]


MOST = {"tenth": "forgotten", "hundredth": "forgotten_hundredth"}


def read_curves(runs: Sequence[str | pathlib.Path], most: str = "tenth") -> Curves:
    """The shares in the `metrics.jsonl` of each run, of the images of `MOST`.

    Raises UserError if there are none or the epochs differ.
    """
    records, key = {}, MOST[most]
    for run in runs:
        records[run] = [line for line in read_metrics(run) if f"{key}/{Groups._fields[0]}" in line]
        if not records[run]:
            raise UserError(
                f"{run} has no record of forgetting ({most}): an SDCLR run on at least three classes with "
                "forgetting_every_epochs > 0 has"
            )
    epochs = [[line["epoch"] for line in lines] for lines in records.values()]
    for run, found in zip(runs, epochs):
        if found != epochs[0]:
            raise UserError(f"{run} has records of the epochs {found}, {runs[0]} of {epochs[0]}")
    lines = list(records.values())
    return Curves(
        np.array(epochs[0]),
        {name: np.array([[line[f"{key}/{name}"] for line in run] for run in lines]) for name in Groups._fields},
        {name: np.array([run[0][f"present/{name}"] for run in lines]) for name in Groups._fields},
    )


def draw_curves(path: str | pathlib.Path, curves: Curves, most: str = "tenth") -> None:
    """Writes the picture; most: of `MOST`, for its title."""
    figure = new_figure(7.2, 4.4)
    axes = figure.subplots()
    runs = len(next(iter(curves.forgotten.values())))
    title = (
        f"Whom pruning forgets: the {most} of the training images on which the two branches\n"
        f"differ most, {'1 run' if runs == 1 else f'mean and sample deviation of {runs} runs'}"
    )
    style_axes(axes, title, x="epoch", y="share (%)")
    for (name, shares), marker in zip(curves.forgotten.items(), MARKERS):
        mean, deviation, color = 100 * shares.mean(0), 100 * _deviation(shares), GROUP_COLORS[name]
        axes.plot(curves.epochs, mean, color=color, marker=marker, markersize=4, label=name.capitalize())
        axes.fill_between(curves.epochs, mean - deviation, mean + deviation, color=color, alpha=0.18, linewidth=0)
        axes.axhline(100 * curves.present[name].mean(), color=color, linestyle="--", linewidth=1)
    axes.plot([], [], color=SOFT, linestyle="--", linewidth=1, label="share of all training images")
    axes.set_ylim(0, 100)
    legend_below(figure, axes, columns=4)
    save_figure(figure, path)


def _deviation(shares: np.ndarray) -> np.ndarray:
    """Sample deviation (n - 1) over the runs, the first axis; of one run 0."""
    return shares.std(0, ddof=1) if len(shares) > 1 else np.zeros(shares.shape[1:])


def main(arguments: argparse.Namespace) -> None:
    """Prints the path of the picture and, of forgetting, the shares at the last epoch."""
    output = require_picture(arguments.output or f"{arguments.kind}.png")
    if arguments.kind == "training":
        draw_training(output, read_runs(arguments.runs))
    elif arguments.kind == "features":
        draw_features(output, [read_features(run) for run in arguments.runs], arguments.method)
    else:
        curves = read_curves(arguments.runs, arguments.most)
        draw_curves(output, curves, arguments.most)
        print(
            f"Forgotten: the {arguments.most} of the training images on which the pruned branch differs most from the "
            "dense one.\nAt the last epoch, mean ± sample deviation over the runs:"
        )
        for name, shares in curves.forgotten.items():
            last, present = 100 * shares[:, -1], 100 * curves.present[name].mean()
            share = f"{last.mean():5.1f} ± {_deviation(last):4.1f} %"
            print(f"{name:6}  {share} of the forgotten, {present:5.1f} % of all images")
    print(f"Picture: {output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sdclr_jax.curve", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="workdir of a training run")
    parser.add_argument(
        "--kind", choices=("forgetting", "training", "features"), default="forgetting", help="what is drawn"
    )
    parser.add_argument("--most", choices=tuple(MOST), default="tenth", help="images that count as forgotten")
    parser.add_argument("--method", choices=tuple(METHODS), default="pca", help="of the picture of features")
    parser.add_argument("--output", help="the picture; default: KIND.png")
    return parser


if __name__ == "__main__":
    run_command(main, _parser(), on_devices=False)
