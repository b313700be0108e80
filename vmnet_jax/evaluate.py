"""Scores a trained VMNet: python -m vmnet_jax.evaluate --workdir=DIR [--votes=8] [--step=last|best|N]

Every vertex of every scene's file counts once. With N votes each scene is seen in N random placements and the logits
are summed (the original program uses 8). For the first scenes (--pages) the report has pages and a contact sheet.
"""

import argparse

from trainlib.core.cli import natural, positive
from trainlib.run.command import run_command
from vmnet_jax.data.scene_lookup import require_run
from vmnet_jax.prediction.choices import READ_OUTS, SCENES_PER_BATCH


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m vmnet_jax.evaluate", description=__doc__)
    parser.add_argument("--workdir", required=True, help="folder of the training run")
    parser.add_argument("--step", default="last", help="last, best, or a step's number")
    parser.add_argument("--votes", type=positive, default=1, help="random placements whose logits are summed; 1: fixed")
    parser.add_argument("--split", choices=("val", "train", "all"), default="val")
    parser.add_argument("--scenes", help="folder of preprocessed scenes instead of the config's")
    parser.add_argument("--max_voxels", type=natural, default=0, help="tile larger scenes; 0: what the memory holds")
    parser.add_argument("--pages", type=natural, default=20, help="scenes with a page and a row of the contact sheet")
    parser.add_argument("--scenes_per_batch", type=positive, default=1, help=SCENES_PER_BATCH)
    parser.add_argument("--allow_missing", action="store_true", help="skip listed scenes that are not on disk")
    parser.add_argument("--read_out", choices=READ_OUTS, help="logits at the file's vertices; default: the config's")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the table and the paths of the files."""
    require_run(arguments.workdir, arguments.scenes)

    from trainlib.run.devices import start_devices
    from vmnet_jax.commands.evaluate import evaluate, report_folder
    from vmnet_jax.report.report import format_summary

    start_devices()
    result, _ = evaluate(**vars(arguments))
    print(format_summary(result))
    parts = (result[key] for key in ("step", "split", "votes", "scenes_per_batch"))
    folder = report_folder(arguments.workdir, *parts)
    print(f"Report and confusion: {folder}")
    if arguments.pages:
        shown, scenes = min(arguments.pages, len(result["scenes"])), len(result["scenes"])
        print(f"To look at, {shown} of {scenes} scenes: {folder / 'contact_sheet.png'}  {folder / 'pages'}")


if __name__ == "__main__":
    run_command(main, make_parser())
