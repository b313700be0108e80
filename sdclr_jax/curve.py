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

from sdclr_jax.report.forgetting_curves import MOST, Curves, read_curves, sample_deviation
from sdclr_jax.report.stored_features import METHODS, read_features
from trainlib.core import cli
from trainlib.run.command import run_command
from trainlib.run.metrics import read_runs


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sdclr_jax.curve", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="workdir of a training run")
    parser.add_argument(
        "--kind", choices=("forgetting", "training", "features"), default="forgetting", help="what is drawn"
    )
    parser.add_argument("--most", choices=tuple(MOST), default="tenth", help="images that count as forgotten")
    parser.add_argument("--method", choices=tuple(METHODS), default="pca", help="of the picture of features")
    parser.add_argument("--output", help="the picture; default: KIND.png")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the path of the picture and, of forgetting, the shares at the last epoch."""
    if arguments.kind == "training":
        records = read_runs(arguments.runs)
    elif arguments.kind == "features":
        features = [read_features(run) for run in arguments.runs]
    else:
        curves = read_curves(arguments.runs, arguments.most)

    from sdclr_jax.report.feature_plot import draw_features
    from sdclr_jax.report.forgetting_plot import draw_curves
    from sdclr_jax.report.training_plot import draw_training
    from trainlib.analysis.plots import require_picture

    cli.imported()

    output = require_picture(arguments.output or f"{arguments.kind}.png")
    if arguments.kind == "training":
        draw_training(output, records)
    elif arguments.kind == "features":
        draw_features(output, features, arguments.method)
    else:
        draw_curves(output, curves, arguments.most)
        print(_last_epoch(curves, arguments.most))
    print(f"Picture: {output}")


def _last_epoch(curves: Curves, most: str) -> str:
    """The shares at the last epoch, as text."""
    lines = [
        f"Forgotten: the {most} of the training images on which the pruned branch differs most from the dense one.",
        "At the last epoch, mean ± sample deviation over the runs:",
    ]
    for name, shares in curves.forgotten.items():
        last, present = 100 * shares[:, -1], 100 * curves.present[name].mean()
        share = f"{last.mean():5.1f} ± {sample_deviation(last):4.1f} %"
        lines.append(f"{name:6}  {share} of the forgotten, {present:5.1f} % of all images")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main, make_parser())
