"""Where networks look in images of rare classes: python -m sdclr_jax.grad_cam RUN_A [RUN_B ...] --output=FILE.png

Figure 5 of the SDCLR paper: Grad-CAM (Selvaraju et al., ICCV 2017) of test images of the smallest classes, a row for
each run. Self-supervised networks have no classes: the score is a linear classifier's logit of the true
class. The classifier is fitted to the features of labelled training images, as for python -m sdclr_jax.exemplars.
"""

import argparse

from sdclr_jax.data.datasets import require_run
from trainlib.core.cli import natural, positive
from trainlib.run.command import run_command


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sdclr_jax.grad_cam", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="workdirs of training runs, a row each")
    parser.add_argument("--output", default="grad_cam.png", help="the picture")
    parser.add_argument("--images", type=positive, default=8, help="test images of the smallest classes")
    parser.add_argument("--step", default="last", help="last, or a step's number")
    parser.add_argument("--limit", type=natural, default=1000, help="training images of the classifier; 0 for all")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the path of the picture."""
    for workdir in arguments.runs:
        require_run(workdir)

    from sdclr_jax.commands.grad_cam import write_picture
    from trainlib.run.devices import start_devices

    start_devices()
    write_picture(arguments.runs, arguments.output, number=arguments.images, limit=arguments.limit, step=arguments.step)
    print(f"Picture: {arguments.output}")


if __name__ == "__main__":
    run_command(main, make_parser())
