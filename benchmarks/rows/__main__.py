"""Measures some of the comparisons and writes no file: python -m benchmarks.rows [--only=TEXT] [--rounds=N]"""

import argparse

from benchmarks.harness.rows import measure
from benchmarks.results import table
from benchmarks.rows import commands, device_kernels, meshes, preprocessing, refresh, sdclr, unet, vmnet

PARTS = (device_kernels, unet, vmnet, preprocessing, meshes, sdclr, refresh, commands)
ROWS = [row for part in PARTS for row in part.ROWS]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rows", description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--rounds", type=int, help="timed calls of each side (default: as the rows say)")
    options = parser.parse_args()
    print("\n" + table(measure([row for row in ROWS if options.only in row.name], options.rounds)))


if __name__ == "__main__":
    main()
