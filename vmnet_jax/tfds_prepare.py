"""Packs preprocessed scenes into a TensorFlow Datasets folder, without TensorFlow:

python -m vmnet_jax.tfds_prepare --scenes=DIR --data_dir=DIR

SCENES is what python -m preprocess.scenes has written. Training, evaluation and the others read the result with
--config.scenes=FOLDER (or --scenes=FOLDER), the folder that is printed.
"""

import argparse

from trainlib.core import cli
from trainlib.core.outputs import require_folder
from trainlib.run.command import run_command
from vmnet_jax.data.scene_lookup import require_scene_files


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m vmnet_jax.tfds_prepare", description=__doc__)
    parser.add_argument("--scenes", required=True, help="folder of scene files and label_map.csv")
    parser.add_argument("--data_dir", required=True, help="data_dir of TensorFlow Datasets")
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Prints the folder."""
    require_folder(arguments.data_dir, "--data_dir")
    require_scene_files(arguments.scenes)

    from vmnet_jax.data.tfds_builders import prepare_scenes

    cli.imported()

    print(f"Prepared: {prepare_scenes(arguments.scenes, arguments.data_dir)}")


if __name__ == "__main__":
    run_command(main, make_parser())
