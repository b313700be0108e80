"""Training curves: python -m vmnet_jax.curve RUN... [--output=training.png]

Loss, learning rate and norm of the gradient, and the figures of the validation: a line for each run.
"""

import argparse

from trainlib.core import cli
from trainlib.run.command import run_command
from trainlib.run.metrics import read_runs


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m vmnet_jax.curve", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="workdir of a training run")
    parser.add_argument("--output", default="training.png", help="the picture")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the path of the picture."""
    records = read_runs(arguments.runs)

    from trainlib.analysis.plots import require_picture
    from vmnet_jax.report.training_plot import draw_training

    cli.imported()

    output = require_picture(arguments.output)
    draw_training(output, records)
    print(f"Training curves: {output}")


if __name__ == "__main__":
    run_command(main, make_parser())
