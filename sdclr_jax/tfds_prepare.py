"""Writes CIFAR with the long-tailed lists as a TensorFlow Datasets folder, without TensorFlow:

python -m sdclr_jax.tfds_prepare --dataset=cifar10 --source=DIR --output=DIR

SOURCE holds the official binary archive (or for CIFAR-10 its unpacked folder) and, if they are to be used, the authors'
.npy lists. Training reads the result with --config.dataset=tfds --config.data_path=FOLDER.
"""

import argparse
import pathlib

from sdclr_jax.data.cifar import RELEASES
from trainlib.core import cli
from trainlib.core.errors import UserError
from trainlib.core.outputs import require_folder
from trainlib.run.command import run_command


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sdclr_jax.tfds_prepare", description=__doc__)
    parser.add_argument("--dataset", required=True, choices=tuple(RELEASES))
    parser.add_argument("--source", required=True, help="folder of the official files")
    parser.add_argument("--output", required=True, help="data_dir of TensorFlow Datasets")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the folder."""
    require_folder(arguments.output)
    source = pathlib.Path(arguments.source)
    if not source.is_dir() or not any(source.iterdir()):
        archive = RELEASES[arguments.dataset].archive
        where = f"{archive} must be in it, see https://www.cs.toronto.edu/~kriz/cifar.html"
        raise UserError(f"--source {source}: no such folder, or an empty one. {where}")

    from sdclr_jax.data.tfds_builders import prepare_cifar

    cli.imported()

    print(f"Prepared: {prepare_cifar(arguments.dataset, arguments.source, arguments.output)}")


if __name__ == "__main__":
    run_command(main, make_parser())
