"""The label map that `--label_map` names: ScanNet's, one of the labels that occur, or a file."""

import contextlib
import pathlib
from collections.abc import Sequence

import numpy as np

from preprocess.labels import LabelMap, auto_label_map, read_label_map, scannet20
from preprocess.mesh import MeshError
from preprocess.readers import read_raw_labels
from trainlib.core.progress import ItemProgress

SCANNET20, AUTO = "scannet20", "auto"


def check_label_map(choice: str) -> None:
    """Raises MeshError where a choice names a file that is not there."""
    if choice not in (SCANNET20, AUTO) and not pathlib.Path(choice).is_file():
        remedy = "Give scannet20, auto or a CSV file with the header id,name,red,green,blue."
        raise MeshError(f"--label_map {choice}", "there is no such file", remedy)


def choose_label_map(choice: str, meshes: Sequence[pathlib.Path]) -> LabelMap:
    """The map of a choice; for `auto` the labels of all meshes are read. Raises MeshError."""
    if choice == SCANNET20:
        return scannet20()
    if choice != AUTO:
        return read_label_map(choice)
    present: set[int] = set()
    with ItemProgress(len(meshes), "scene", label="reading labels", shown=len(meshes) > 1) as progress:
        for path in meshes:
            with contextlib.suppress(MeshError):  # the mesh itself fails on it later, with the same message
                labels = read_raw_labels(path)
                present.update(() if labels is None else np.unique(labels).tolist())
            progress.advance()
    if max(present, default=0) <= 0:
        raise MeshError(meshes[0].parent, "no labelled vertex in any mesh", "--label_map auto needs labels.")
    return auto_label_map(np.array(sorted(present)))
