"""Compares pre-trainings: python -m sdclr_jax.study --config=configs/study_NAME.py [--workdir=DIR] [--max_seconds=S]

Trains and evaluates every variant with every seed and writes table.md, table.json and table.png. The same command goes
on where it stopped. docs/studies.md lists the studies.
"""

import pathlib

from ml_collections import ConfigDict

from sdclr_jax.report.evaluation import COLUMNS
from sdclr_jax.report.table_rows import read_run
from trainlib.analysis.study import run_main
from trainlib.analysis.study_plan import StudyTarget

FEW_SHOT = ("std", "all")


def read_figures(workdir: pathlib.Path) -> dict[str, float]:
    """Linear separability (all columns) and few-shot accuracy, in %, of the newest evaluated step.

    A figure that is None in the report is omitted.
    """
    report = read_run(workdir).report
    shares = {column.capitalize(): report["full"][column] for column in COLUMNS}
    shares |= {f"Few-shot {column}": report["few"][column] for column in FEW_SHOT if "few" in report}
    return {name: 100 * share for name, share in shares.items() if share is not None}


def check(config: ConfigDict) -> None:
    """Raises UserError for a config that the training would refuse."""
    from sdclr_jax.settings import check_config

    check_config(config)


SYSTEM = StudyTarget("sdclr_jax.train", "sdclr_jax.evaluate", read_figures, check)

if __name__ == "__main__":
    run_main(SYSTEM, __doc__, "python -m sdclr_jax.study")
