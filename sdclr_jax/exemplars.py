"""What pruning makes a network forget: python -m sdclr_jax.exemplars --run=WORKDIR [WORKDIR ...] --output=DIR

Pruning-identified exemplars (Hooker et al., 2019): test images whose modal label over dense networks differs from that
over networks of which a share of the weights (--sparsities) is pruned. The networks are the runs (of one experiment and
split, with several seeds), and for each run and sparsity --masks masks: by magnitude alone, and others of which a part
of the pruned share (--random_share) is drawn at random. Every network, dense or pruned, gets its own BatchNorm
statistics and its own linear classifier from the same labelled images; nothing else is trained after pruning.
Writes exemplars.json, curves.png and contact_sheet.png.
"""

import argparse

from sdclr_jax.data.datasets import require_run
from trainlib.analysis.pruning_sweep import add_pruning_flags, exemplar_options
from trainlib.core.cli import natural
from trainlib.core.outputs import require_folder
from trainlib.run.command import run_command


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sdclr_jax.exemplars", description=__doc__)
    about = "runs that differ in their seed"
    parser.add_argument("--run", dest="workdirs", nargs="+", required=True, metavar="WORKDIR", help=about)
    parser.add_argument("--output", required=True, help="folder for report and pictures")
    parser.add_argument("--step", default="last", help="last, or a step's number")
    add_pruning_flags(parser)
    parser.add_argument("--severity", type=int, choices=range(1, 6), default=3, help="of the corruptions, 1 .. 5")
    parser.add_argument(
        "--limit", type=natural, default=1000, help="at most this many training and test images; 0 for all"
    )
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the shares and the paths of the files."""
    options = exemplar_options(arguments)
    require_folder(arguments.output)
    for workdir in arguments.workdirs:
        require_run(workdir)

    from sdclr_jax.commands.exemplars import run_exemplars
    from sdclr_jax.report.exemplar_report import as_lines
    from trainlib.run.devices import start_devices

    start_devices()
    report = run_exemplars(**options)
    print("\n".join(as_lines(report)))
    print(f"Report and pictures: {arguments.output}")


if __name__ == "__main__":
    run_command(main, make_parser())
