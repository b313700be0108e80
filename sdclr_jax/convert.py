"""Weights of the original program, in and out.

  python -m sdclr_jax.convert CHECKPOINT.pt --workdir=DIR --config=configs/sdclr_cifar10_lt.py[:simclr]
  python -m sdclr_jax.convert --workdir=DIR --to-torch=FILE.pt [--step=last|N]

The first reads a PyTorch checkpoint of the pre-training (zip or stream format, or safetensors; no PyTorch needed,
nothing of the file is executed) and makes a workdir that evaluate and train take as their own. Head depth, backbone
and sets of BatchNorm must be the config's; override keys with --set KEY=VALUE. The second writes the network of a
workdir as a state_dict that the original program loads.
"""

import argparse

from trainlib.core.config import load_config_file
from trainlib.run.command import run_command
from trainlib.weights import convert_cli


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sdclr_jax.convert", description=__doc__)
    convert_cli.add_source_flags(parser, config="configs/sdclr_cifar10_lt.py")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another value of a config key")
    convert_cli.add_export_flags(parser, steps="last, or a step's number")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Converts and prints the path of the result."""
    is_export = convert_cli.is_export(arguments)
    convert_cli.require_files(arguments)
    config = None if is_export else load_config_file(arguments.config, arguments.set)

    from sdclr_jax.commands.convert import from_torch, to_torch
    from trainlib.run.devices import start_devices

    start_devices()
    if is_export:
        state = to_torch(arguments.workdir, arguments.to_torch, arguments.step)
        print(f"{arguments.to_torch}: {len(state)} entries, under the names of the original's checkpoints")
    else:
        from_torch(arguments.checkpoint, arguments.workdir, config)
        print(f"{arguments.workdir}: ready for evaluate and train")


if __name__ == "__main__":
    run_command(main, make_parser())
