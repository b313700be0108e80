"""Whether the scenes that a command names are there, looked up before anything is read."""

import pathlib

from ml_collections import ConfigDict

from preprocess.cli.sources import read_list, scene_names
from preprocess.formats.files import SUFFIX
from trainlib.core.errors import UserError
from trainlib.run.workdir import load_config

LABEL_MAP = "label_map.csv"


def require_scene_folder(folder: str | pathlib.Path) -> pathlib.Path:
    """The folder. Raises UserError unless it has the label map that preprocessing writes."""
    folder = pathlib.Path(folder)
    if not (folder / LABEL_MAP).is_file():
        raise UserError(f"{folder}: no {LABEL_MAP}. Make the folder with python -m preprocess.scenes.")
    return folder


def require_scene_files(folder: str | pathlib.Path) -> list[str]:
    """Names of the scene files below a folder. Raises UserError if there are none, or if the label map is missing."""
    names = scene_names(folder)
    if not names or not (pathlib.Path(folder) / LABEL_MAP).is_file():
        raise UserError(f"{folder}: no scene files (*{SUFFIX}) with {LABEL_MAP}. Make them with preprocess.scenes.")
    return names


def require_scenes(config: ConfigDict, folder: str | None = None) -> None:
    """Raises UserError if a config's folder of scenes (or `folder` in its place) or one of its lists is missing."""
    require_scene_folder(folder or config.scenes)
    for listing in filter(None, (config.train_list, config.val_list)):
        read_list(listing)


def require_run(workdir: str | pathlib.Path, scenes: str | None = None) -> None:
    """Raises UserError unless `workdir` is of a run whose scenes (or the folder `scenes` in their place) are there.

    Runs of other systems have no scenes; `vmnet_jax.learn.restore.load_run` refuses them.
    """
    config = load_config(workdir)
    if "scenes" in config:
        require_scenes(config, scenes)
