"""The command line of the converters of the two systems."""

import argparse

from trainlib.core.errors import UsageError
from trainlib.core.outputs import require_file, require_folder
from trainlib.run.workdir import load_config
from trainlib.weights.torch_files import require_readable


def add_source_flags(parser: argparse.ArgumentParser, config: str) -> None:
    """The checkpoint, --workdir and --config with its default."""
    parser.add_argument("checkpoint", nargs="?", help="weights of the original program")
    parser.add_argument("--workdir", required=True, help="folder to make, or with --to-torch the folder of a run")
    parser.add_argument("--config", default=config, help="config of the network")


def add_export_flags(parser: argparse.ArgumentParser, steps: str) -> None:
    """--to-torch, and --step with the steps that can be named."""
    parser.add_argument("--to-torch", metavar="FILE", help="write the workdir's network for the original program")
    parser.add_argument("--step", default="last", help=f"with --to-torch: {steps}")


def is_export(arguments: argparse.Namespace) -> bool:
    """Whether weights are written. Raises UsageError unless either a checkpoint or --to-torch is given."""
    if bool(arguments.checkpoint) == bool(arguments.to_torch):
        raise UsageError("give either a checkpoint to read, or --to-torch=FILE to write")
    return bool(arguments.to_torch)


def require_files(arguments: argparse.Namespace) -> None:
    """Raises UserError if the checkpoint or the run to read is missing, or if the result cannot be written."""
    if is_export(arguments):
        require_file(arguments.to_torch, "--to-torch")
        load_config(arguments.workdir)
    else:
        require_folder(arguments.workdir, "--workdir", make=False)
        require_readable(arguments.checkpoint)
