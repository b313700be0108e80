"""Labels meshes: python -m vmnet_jax.predict --workdir=DIR --mesh=FILE|FOLDER --output=DIR

Every vertex of the file gets a class and its probability, in the file's order. For each mesh the folder then holds
NAME.ply (the file's own vertices, faces and properties, coloured by class), NAME.labels.ply (the label map's ids),
NAME.html (a page to rotate the mesh in), NAME.png and, with --probabilities, NAME.probabilities.npz. No labels are
needed. From Python: `load(workdir).predict(read_mesh(path))`.
"""

import argparse
import pathlib

from preprocess.cli.arguments import UpParser
from preprocess.cli.sources import Found, find_sources
from preprocess.mesh.units import METRES
from trainlib.core.cli import natural, positive
from trainlib.core.errors import UserError
from trainlib.core.outputs import require_folder
from trainlib.run.command import run_command
from trainlib.run.workdir import load_config
from vmnet_jax.prediction.choices import READ_OUTS


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = UpParser(prog="python -m vmnet_jax.predict", description=__doc__)
    parser.add_argument("--workdir", required=True, help="folder of the training run")
    parser.add_argument("--mesh", required=True, help="a PLY, OBJ, OFF, STL or GLB file, or a folder of them")
    parser.add_argument("--output", required=True, help="folder for the results")
    parser.add_argument("--step", default="last", help="last, best, or a step's number")
    parser.add_argument(
        "--votes", type=positive, default=1, help="random placements, logits summed; 1: the mesh as it is"
    )
    parser.add_argument("--max_voxels", type=natural, default=0, help="tile larger meshes; 0: what the memory holds")
    parser.add_argument("--probabilities", action="store_true", help="write NAME.probabilities.npz: of every class")
    parser.add_argument("--repair", action="store_true", help="skip faces that touch NaN or Inf coordinates")
    parser.add_argument("--units", choices=tuple(METRES), help="unit of the file; default: that of the training data")
    parser.add_up(None, "upward axis of the file; default: that of the training data; auto: from surface and network")
    parser.add_argument("--read_out", choices=READ_OUTS, help="logits at the file's vertices; default: the config's")
    return parser


def _find(source: pathlib.Path, output: pathlib.Path) -> Found:
    """The meshes of a file or folder but for results in `output`."""
    folder, inside = source if source.is_dir() else source.parent, output.resolve()
    if inside == folder.resolve():
        raise UserError(f"--output is the folder of the meshes, {folder}: their files would be overwritten")
    found = find_sources(source)
    sources = [mesh for mesh in found.sources if inside not in mesh.path.resolve().parents]
    clashes = [clash for clash in found.clashes if inside not in clash.paths[0].resolve().parents]
    if not sources and not clashes:
        raise UserError(f"{source}: all meshes are in --output, {output}; results are not labelled again")
    return Found(sources, clashes, found.notes)


def main(arguments: argparse.Namespace) -> None:
    """Predicts each mesh and prints the findings and the paths of the results."""
    output = pathlib.Path(arguments.output)
    found = _find(pathlib.Path(arguments.mesh), output)
    require_folder(output)
    load_config(arguments.workdir)

    from trainlib.run.devices import start_devices
    from vmnet_jax.commands.predict import predict

    start_devices()
    predict(arguments, found)


if __name__ == "__main__":
    run_command(main, make_parser())
