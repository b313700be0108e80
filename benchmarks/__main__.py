"""All comparisons: python -m benchmarks [--rounds=N]

Each row runs the project and a peer in turn, in two processes on the same two CPUs, after their outputs were compared;
building tables counts on neither side. Rows whose peer cannot be installed quote a stored time and scale the project's
by a matrix product that runs alongside it. Prints a line and a JSON line per row, then the table. Writes the JSON lines
to benchmarks/results.jsonl, from which `python -m benchmarks.results` makes benchmarks/RESULTS.md.
"""

import argparse

from benchmarks.results import LINES, table, write_results


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=None, help="timed calls of each side (default: as the rows say)")
    return parser


def main() -> None:
    """Measures all rows, prints the table and writes the page."""
    options = make_parser().parse_args()

    from benchmarks.harness.rows import measure
    from benchmarks.rows.__main__ import ROWS

    print("\n" + table(measure(ROWS, options.rounds, LINES)))
    write_results()


if __name__ == "__main__":
    main()
