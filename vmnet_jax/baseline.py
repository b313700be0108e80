"""What colour and height alone can predict: python -m vmnet_jax.baseline --workdir=DIR

A logistic regression from a vertex's colour and its height above the scene's lowest vertex to its class, trained on the
run's training scenes and scored on its validation scenes. A network that is not far above it has learned no shape.
"""

import argparse
import json
import pathlib

from trainlib.core import cli
from trainlib.run.command import run_command
from vmnet_jax.data.scene_lookup import require_run


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m vmnet_jax.baseline", description=__doc__)
    parser.add_argument("--workdir", required=True, help="folder of the training run")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the baseline's table and, next to it, the newest evaluation of the run."""
    workdir = pathlib.Path(arguments.workdir)
    require_run(workdir)

    from vmnet_jax.commands.baseline import evaluate_baseline
    from vmnet_jax.report.report import format_summary

    cli.imported()

    result = evaluate_baseline(workdir)
    print(format_summary(result))
    print(f"Logistic regression on colour and height: mean IoU {100 * result['mean_iou']:.1f} %")
    reports = sorted(workdir.glob("eval/*_val_*/report.json"), key=lambda p: p.stat().st_mtime)
    run = json.loads(reports[-1].read_text()) if reports else {"mean_iou": None}
    if run["mean_iou"] is not None:
        points = 100 * (run["mean_iou"] - result["mean_iou"])
        print(f"VMNet, step {run['step']}: mean IoU {100 * run['mean_iou']:.1f} % ({points:+.1f} points)")


if __name__ == "__main__":
    run_command(main, make_parser())
