"""Trains SDCLR or SimCLR: python -m sdclr_jax.train --config=configs/NAME.py[:words] --workdir=DIR

The same command resumes an interrupted run, and the resumed run equals the uninterrupted one.
"""

import pathlib

from ml_collections import ConfigDict

from sdclr_jax.data.datasets import require_data
from sdclr_jax.default_config import MARKS
from trainlib.run.flags import run_main
from trainlib.run.workdir import CONFIG_NAME, require_settings


def main(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Trains the network of a config."""
    require_settings(config, MARKS, "the config", "sdclr_jax")
    if not (workdir / CONFIG_NAME).exists():  # a run that continues first compares its config
        require_data(config)

    from sdclr_jax.commands.train import train_and_evaluate
    from trainlib.run.devices import start_devices

    start_devices(config.get("platform", "any"))
    train_and_evaluate(config, workdir)


if __name__ == "__main__":
    run_main(main)
