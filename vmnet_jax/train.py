"""Trains VMNet: python -m vmnet_jax.train --config=configs/NAME.py[:words] --workdir=DIR

The same command resumes an interrupted run, and the resumed run equals the uninterrupted one.
"""

import pathlib

from absl import flags
from ml_collections import ConfigDict

from trainlib.run.flags import run_main
from trainlib.run.workdir import CONFIG_NAME, require_settings
from vmnet_jax.data.scene_lookup import require_scenes
from vmnet_jax.default_config import MARKS

_ALLOW_MISSING = flags.DEFINE_bool("allow_missing", False, "train without the listed scenes that are not on disk")


def main(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Trains the network of a config."""
    require_settings(config, MARKS, "the config", "vmnet_jax")
    if not (workdir / CONFIG_NAME).exists():  # a run that continues first compares its config
        require_scenes(config)

    from trainlib.run.devices import start_devices
    from vmnet_jax.commands.train import train_and_evaluate

    start_devices(config.get("platform", "any"))
    train_and_evaluate(config, workdir, allow_missing=_ALLOW_MISSING.value)


if __name__ == "__main__":
    run_main(main)
