"""Which vertices pruning makes a network mislabel: python -m vmnet_jax.exemplars --workdir=DIR --output=DIR

The network's smallest weights (convolutions and linear layers but the classifiers, one threshold for all) are set to
zero, nothing is trained after that, and every vertex is labelled again. Forgotten is a vertex that the dense network
labels rightly and the pruned ones do not; exemplars are all vertices whose modal label over the pruned networks is not
the dense one's. The pruned networks of a sparsity are --masks masks of one network: by magnitude alone, and others of
which a part (--random_share) is drawn at random. Writes exemplars.json, by_class.png and pages/SCENE.html.
"""

import argparse

from trainlib.analysis.pruning_sweep import add_pruning_flags, exemplar_options
from trainlib.core.cli import natural
from trainlib.core.outputs import require_folder
from trainlib.run.command import run_command
from vmnet_jax.data.scene_lookup import require_run


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m vmnet_jax.exemplars", description=__doc__)
    parser.add_argument("--workdir", required=True, help="folder of the training run")
    parser.add_argument("--output", required=True, help="folder for report, chart and pages")
    parser.add_argument("--step", default="last", help="last, best, or a step's number")
    parser.add_argument("--scenes", help="folder of preprocessed scenes instead of the config's")
    parser.add_argument("--limit", type=natural, default=0, help="only this many validation scenes; 0: all")
    add_pruning_flags(parser)
    parser.add_argument("--shown", type=float, help="the sparsity of the pages; default: the middle one")
    parser.add_argument("--max_voxels", type=natural, default=0, help="tile larger scenes; 0: what the memory holds")
    parser.add_argument("--allow_missing", action="store_true", help="skip listed scenes that are not on disk")
    parser.add_argument("--pages", type=natural, default=20, help="scenes that get a page")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the shares and the paths of the files."""
    options = exemplar_options(arguments)
    require_folder(arguments.output)
    require_run(arguments.workdir, arguments.scenes)

    from trainlib.run.devices import start_devices
    from vmnet_jax.commands.exemplars import run_exemplars
    from vmnet_jax.report.exemplar_report import as_lines

    start_devices()
    report = run_exemplars(**options)
    print("\n".join(as_lines(report)))
    print(f"Report, chart and pages: {arguments.output}")


if __name__ == "__main__":
    run_command(main, make_parser())
