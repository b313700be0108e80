"""The balancedness table of several runs: python -m sdclr_jax.table RUN... --output=DIR

Each RUN is the workdir of an evaluated training run. Runs that differ in split and seed alone make one row: the mean
over them ± the population deviation, in %. Prints Markdown and writes table.md, table.json and table.png, and
the paper's Tables 1 to 5, tables_1_to_5.md and tables_1_to_5.json; tables without a run list the missing ones.
"""

import argparse

from sdclr_jax.report.published_tables import format_tables, published_tables
from sdclr_jax.report.table_rows import make_rows, read_run
from trainlib.core import cli
from trainlib.core.outputs import require_folder
from trainlib.run.command import run_command


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sdclr_jax.table", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="workdir of an evaluated run")
    parser.add_argument("--output", default="table", help="folder for the tables and the picture")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the tables and the paths of the files."""
    output = require_folder(arguments.output)
    rows = make_rows(map(read_run, arguments.runs))

    from sdclr_jax.report.balance_table import markdown, write_table

    cli.imported()

    write_table(rows, output)
    print(markdown(rows))
    print(format_tables([table for table in published_tables(rows) if table["rows"]]))
    print(f"Tables and picture: {arguments.output}")


if __name__ == "__main__":
    run_command(main, make_parser())
