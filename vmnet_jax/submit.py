"""A submission to the ScanNet benchmark (3D semantic label), made and checked.

  python -m vmnet_jax.submit --workdir=DIR --scenes=FOLDER --list=scannetv2_test.txt --output=submission.zip [--votes=8]
  python -m vmnet_jax.submit --check=submission.zip --scenes=FOLDER --list=scannetv2_test.txt

The zip has one file SCENE.txt for each listed scene, at its top: the NYU40 id of every vertex of the scene's mesh file,
one a line. It is checked as the second command does before it gets its name. Scenes need no labels:
python -m preprocess.scenes makes them from the test meshes.
"""

import argparse

from preprocess.cli.sources import read_scene_list, resolve_names
from trainlib.core import cli
from trainlib.core.cli import positive
from trainlib.core.errors import UsageError
from trainlib.core.outputs import require_file
from trainlib.run.command import run_command
from trainlib.run.workdir import load_config
from vmnet_jax.data.scene_lookup import require_scene_folder
from vmnet_jax.prediction.choices import SCENES_PER_BATCH


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m vmnet_jax.submit", description=__doc__)
    parser.add_argument("--scenes", required=True, help="folder of the preprocessed test scenes")
    parser.add_argument("--list", required=True, help="scenes of the benchmark, one name per line: scannetv2_test.txt")
    parser.add_argument("--workdir", help="folder of the training run")
    parser.add_argument("--output", help="the zip to write")
    parser.add_argument("--check", metavar="ZIP", help="only check this zip")
    parser.add_argument("--step", default="last", help="last, best, or a step's number")
    parser.add_argument("--votes", type=positive, default=8, help="random placements whose logits are summed")
    parser.add_argument("--scenes_per_batch", type=positive, default=1, help=SCENES_PER_BATCH)
    return parser


def main(arguments: argparse.Namespace) -> None:
    """Writes or checks a submission."""
    if bool(arguments.check) == bool(arguments.workdir and arguments.output):
        raise UsageError("give --workdir and --output to write a submission, or --check=ZIP to check one")
    require_scene_folder(arguments.scenes)
    listed = read_scene_list(arguments.list)
    count = _check(arguments, listed) if arguments.check else _write(arguments, listed)
    print(f"{arguments.check or arguments.output}: valid, {count} scenes")


def _check(arguments: argparse.Namespace, listed: list[str]) -> int:
    """Checks a zip against the listed scenes; returns their number."""
    from vmnet_jax.data.scene_store import open_scenes
    from vmnet_jax.prediction.submission_check import check_submission, require_scenes

    cli.imported()
    scenes = open_scenes(arguments.scenes)
    names = resolve_names(listed, scenes.names)
    require_scenes(arguments.scenes, scenes.names, names)
    check_submission(arguments.check, {name: scenes.header(name)["sizes"]["vertices"] for name in names})
    return len(names)


def _write(arguments: argparse.Namespace, listed: list[str]) -> int:
    """Writes the checked zip of the listed scenes; returns their number."""
    require_file(arguments.output)
    load_config(arguments.workdir)

    from trainlib.run.devices import start_devices
    from vmnet_jax.data.scenes import SceneFolder
    from vmnet_jax.learn.inference import warn_of_single_scenes
    from vmnet_jax.prediction.predictor import load
    from vmnet_jax.prediction.submission import write_submission

    start_devices()
    scenes = SceneFolder(arguments.scenes, cache_gib=0)
    names = resolve_names(listed, scenes.names)
    predictor = load(arguments.workdir, arguments.step, scenes_per_batch=arguments.scenes_per_batch)
    warn_of_single_scenes(predictor.run.config, arguments.scenes_per_batch)
    write_submission(predictor, scenes, names, arguments.output, arguments.votes)
    return len(names)


if __name__ == "__main__":
    run_command(main, make_parser())
