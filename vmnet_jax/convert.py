"""Weights of the original program, in and out.

  python -m vmnet_jax.convert CHECKPOINT.pt --workdir=DIR [--config=configs/vmnet_scannet.py] [--label_map=FILE.csv]
  python -m vmnet_jax.convert --workdir=DIR --to-torch=FILE.pt [--step=last|best|N]

The first reads a PyTorch checkpoint (zip or stream format, or safetensors; no PyTorch needed, nothing of the file is
executed) and makes a workdir that evaluate, predict and train take as their own. The second writes the network of a
workdir as a state_dict that the original program loads.
"""

import argparse
import json
import pathlib

from preprocess.labels.label_map import read_label_map
from trainlib.core.config import load_config_file
from trainlib.run.command import run_command
from trainlib.weights import convert_cli


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m vmnet_jax.convert", description=__doc__)
    convert_cli.add_source_flags(parser, config="configs/vmnet_scannet.py")
    parser.add_argument("--label_map", help="CSV of id,name,red,green,blue; default: ScanNet's 20 classes")
    parser.add_argument("--preprocessing", help="preprocessing.json of a workdir; default: the published parameters")
    convert_cli.add_export_flags(parser, steps="last, best, or a step's number")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Converts and prints the path of the result."""
    is_export = convert_cli.is_export(arguments)
    convert_cli.require_files(arguments)
    (_write if is_export else _read)(arguments)


def _write(arguments: argparse.Namespace) -> None:
    """A run's weights for the original program."""
    from trainlib.run.devices import start_devices
    from vmnet_jax.commands.convert import to_torch

    start_devices()
    state = to_torch(arguments.workdir, arguments.to_torch, arguments.step)
    print(f"{arguments.to_torch}: {len(state)} entries; load them with model.load_state_dict(torch.load(FILE))")


def _read(arguments: argparse.Namespace) -> None:
    """The original program's weights as a run."""
    label_map = read_label_map(arguments.label_map) if arguments.label_map else None
    params = json.loads(pathlib.Path(arguments.preprocessing).read_text()) if arguments.preprocessing else None
    config = load_config_file(arguments.config)

    from trainlib.run.devices import start_devices
    from vmnet_jax.commands.convert import from_torch

    start_devices()
    from_torch(arguments.checkpoint, arguments.workdir, config, label_map, params)
    print(f"{arguments.workdir}: ready for evaluate, predict and train")


if __name__ == "__main__":
    run_command(main, make_parser())
