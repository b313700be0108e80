"""The whole preprocessing of a room against the original program's stored time: python -m benchmarks.preprocessing"""

import pathlib
import tempfile

import numpy as np

from benchmarks.command import main
from benchmarks.data import open_inputs
from benchmarks.pairs import Side
from benchmarks.rows import TimeRow
from benchmarks.worker import Case
from preprocess.hierarchy import HierarchyParams
from preprocess.labels import scannet20
from preprocess.prepare import Reading, Task, prepare

LIBRARIES = ("numba", "numpy")

ROWS = (
    TimeRow(
        "preprocessing of a room, from the PLY file to the scene file",
        "the original: two C++ binaries, ball trees, Python",
        Side("benchmarks.preprocessing", "whole_stage"),
        None,
        40.0,
        70.0,
        quoted=22.8,
    ),
)


def whole_stage(data: str) -> Case:
    """Read, check, seven levels with traces and one-rings, voxel tables, write."""
    folder = tempfile.TemporaryDirectory()
    room = open_inputs(data).room
    task = Task("room", room, pathlib.Path(folder.name), Reading(), HierarchyParams(), scannet20(), overwrite=True)

    def call():
        outcome = prepare(task)
        if outcome.header is None:
            raise ValueError(outcome.cause)
        return outcome.header, folder

    def outputs(result):
        header, _ = result
        return {name: np.asarray(size) for name, size in header.sizes.items()}

    return Case(call, outputs, {"levels": call()[0].sizes["level_vertices"]})


if __name__ == "__main__":
    main(ROWS, __doc__)
