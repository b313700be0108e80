"""Compares networks: python -m vmnet_jax.study --config=configs/study_NAME.py [--workdir=DIR] [--max_seconds=S]

Trains every variant with every seed, takes the figures of the validation after the last step, and writes table.md,
table.json and table.png. The same command resumes where it stopped. docs/studies.md lists the studies.
"""

import pathlib

from ml_collections import ConfigDict

from trainlib.analysis.study import run_main
from trainlib.analysis.study_plan import StudyTarget
from trainlib.core.errors import UserError
from trainlib.run.metrics import read_metrics

FIGURES = {"Mean IoU": "val/mean_iou", "Accuracy": "val/accuracy"}


def read_figures(workdir: pathlib.Path) -> dict[str, float]:
    """Figures of the validation scenes in %, as the training measured them after its last step."""
    measured = [line for line in read_metrics(workdir) if FIGURES["Mean IoU"] in line]
    if not measured:
        raise UserError(f"{workdir} has no validation figures; a study needs validation scenes")
    return {column: 100 * measured[-1][key] for column, key in FIGURES.items()}


def check(config: ConfigDict) -> None:
    """Raises UserError for a config that the training would refuse."""
    from vmnet_jax.settings import check_config

    check_config(config)


SYSTEM = StudyTarget("vmnet_jax.train", None, read_figures, check)

if __name__ == "__main__":
    run_main(SYSTEM, __doc__, "python -m vmnet_jax.study")
