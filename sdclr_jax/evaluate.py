"""Scores a pre-trained network: python -m sdclr_jax.evaluate --workdir=DIR [--step=last|N] [--protocols=full,few,knn]

full   linear separability: a linear probe trained on the balanced training list
few    the same on S_b, a hundredth of it
knn    nearest neighbours among the balanced training list

The backbone is frozen: dense weights, BatchNorm of branch 0.
"""

import argparse
import pathlib

from sdclr_jax.data.datasets import require_run
from sdclr_jax.probe.protocols import PROTOCOLS, check_protocols
from sdclr_jax.report.evaluation import REPORT, format_report
from trainlib.core.cli import natural
from trainlib.run.command import run_command


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sdclr_jax.evaluate", description=__doc__)
    parser.add_argument("--workdir", required=True, help="folder of the training run")
    parser.add_argument("--step", default="last", help="last, or a step's number")
    parser.add_argument("--protocols", default=",".join(PROTOCOLS), help="comma-separated")
    parser.add_argument("--limit", type=natural, help="images of the full training list, 0: all; default: the config's")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the table and the path of the report."""
    protocols = arguments.protocols.split(",")
    check_protocols(protocols)
    require_run(arguments.workdir)

    from sdclr_jax.commands.evaluate import evaluate
    from trainlib.run.devices import start_devices

    start_devices()
    report = evaluate(**vars(arguments) | {"protocols": protocols})
    print(format_report(report))
    print(f"Report: {pathlib.Path(arguments.workdir) / 'eval' / ('step_' + str(report['step'])) / REPORT}")


if __name__ == "__main__":
    run_command(main, make_parser())
