"""Synthetic labelled indoor scans: `python -m preprocess.rooms --output DIR --count N --seed S`.

Each room is NAME.ply (x, y, z, red, green, blue, faces; metres, z up) and NAME.labels.ply (the same vertices with the
property `label`, NYU40 ids, 0 unlabelled). Room i comes from seed S + i alone, and its kind is that number modulo 8, so
eight consecutive rooms hold every one of the 20 ScanNet classes at least three times. PREFIX.txt lists the names.
"""

import argparse
import pathlib

from trainlib.core import cli
from trainlib.core.errors import UserError
from trainlib.core.files import write_atomic
from trainlib.core.outputs import require_folder
from trainlib.core.progress import ItemProgress
from trainlib.core.text import pluralize


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m preprocess.rooms", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder for the PLY files; made if missing")
    parser.add_argument("--count", type=int, required=True, help="how many rooms")
    parser.add_argument("--seed", type=int, required=True, help="room i comes from seed + i")
    parser.add_argument("--resolution", type=float, default=0.05, help="edge length in metres (default 0.05)")
    parser.add_argument("--prefix", default="room", help="files are PREFIX_0000.ply and so on (default room)")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Makes the rooms and prints where they are."""
    parser = make_parser()
    options = cli.parse(parser, arguments)
    if options.count < 1:
        parser.error(f"--count must be at least 1, got {options.count}")
    if options.seed < 0 or not 0.02 <= options.resolution <= 0.08:
        parser.error(f"--seed must be >= 0 and --resolution in 0.02..0.08, got {options.seed}, {options.resolution}")
    try:
        require_folder(options.output)
    except UserError as error:
        parser.error(str(error))

    from preprocess.synthetic.room import make_room, write_room

    cli.imported()

    with ItemProgress(options.count, "room") as progress:
        for index in range(options.count):
            room = make_room(options.seed + index, options.resolution)
            write_room(options.output, f"{options.prefix}_{index:04d}", room)
            progress.advance()
    names = [f"{options.prefix}_{index:04d}" for index in range(options.count)]
    write_atomic(options.output / f"{options.prefix}.txt", "\n".join(names) + "\n")
    print(f"{pluralize(options.count, 'room')} in {options.output}, listed in {options.output / options.prefix}.txt")


if __name__ == "__main__":
    cli.set_up_logging()
    cli.run(main)
