"""Training curves: python -m vmnet_jax.curve RUN... [--output=training.png]

Loss, learning rate and norm of the gradient, and the figures of the validation: a line for each run.
"""

import argparse
import pathlib

from trainlib.analysis.plots import (
    Panel,
    draw_panel,
    legend_below,
    new_figure,
    read_runs,
    require_picture,
    run_title,
    save_figure,
)
from trainlib.run.command import run_command

PANELS = (
    Panel("loss", "Loss"),
    Panel("learning_rate", "Learning rate"),
    Panel("gradient_norm", "Norm of the gradient"),
    Panel("val/mean_iou", "Mean IoU of the validation scenes (%)", scale=100),
    Panel("val/accuracy", "Accuracy on the validation scenes (%)", scale=100),
)


def draw_training(path: str | pathlib.Path, records: dict[str, list[dict]]) -> None:
    """Writes the picture; records: by run, as `trainlib.analysis.plots.read_runs` gives them."""
    figure = new_figure(11, 6.2, run_title(records))
    first, *others = figure.subplot_mosaic("aabbcc;dddeee").values()
    for axes in others:
        axes.sharex(first)
    for axes, panel in zip((first, *others), PANELS):
        draw_panel(axes, records, panel)
        if panel.name.startswith("val/"):
            axes.set_ylim(bottom=0)
    if len(records) > 1:
        legend_below(figure, first)
    save_figure(figure, path)


def main(arguments: argparse.Namespace) -> None:
    """Prints the path of the picture."""
    output = require_picture(arguments.output)
    draw_training(output, read_runs(arguments.runs))
    print(f"Training curves: {output}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vmnet_jax.curve", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="workdir of a training run")
    parser.add_argument("--output", default="training.png", help="the picture")
    return parser


if __name__ == "__main__":
    run_command(main, _parser(), on_devices=False)
