"""Compares networks: python -m vmnet_jax.study --config=configs/study_NAME.py [--workdir=DIR] [--max_seconds=S]

Trains and evaluates every variant with every seed and writes table.md, table.json and table.png. The same command goes
on where it stopped. docs/studies.md tells what there is.
"""

import json
import pathlib

from trainlib.errors import UserError
from trainlib.study import System, run_main


def read_figures(workdir: pathlib.Path) -> dict[str, float]:
    """Mean IoU and accuracy on the validation scenes, in per cent, of the newest evaluated step."""
    reports = [json.loads(file.read_text()) for file in workdir.glob("eval/step_*_val_votes_1/report.json")]
    if not reports:
        raise UserError(f"{workdir} has no report; run python -m vmnet_jax.evaluate --workdir={workdir}")
    newest = max(reports, key=lambda report: report["step"])
    return {"Mean IoU": 100 * newest["mean_iou"], "Accuracy": 100 * newest["accuracy"]}


SYSTEM = System("vmnet_jax.train", ("vmnet_jax.evaluate", "--pages=0"), read_figures)

if __name__ == "__main__":
    run_main(SYSTEM, __doc__, "python -m vmnet_jax.study")
