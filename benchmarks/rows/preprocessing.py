"""Preprocessing of a room against the original program's stored time."""

import pathlib
import tempfile

import numpy as np

from benchmarks.data import open_inputs
from benchmarks.harness.pairs import Side
from benchmarks.harness.rows import TimeRow
from benchmarks.harness.worker import Case
from preprocess.cli.scene_task import Reading, SceneTask, prepare_scene
from preprocess.labels.label_map import scannet20
from preprocess.scene.params import HierarchyParams

LIBRARIES = ("numba", "numpy")

ROWS = (
    TimeRow(
        "preprocessing of a room, from the PLY file to the scene file",
        "the original: two C++ binaries, ball trees, Python",
        Side("benchmarks.rows.preprocessing", "whole_stage"),
        None,
        required=40.0,
        aim=70.0,
        quoted=22.8,
    ),
)


def whole_stage(data: str) -> Case:
    """Read, check, seven levels with traces and one-rings, voxel tables, write."""
    folder = tempfile.TemporaryDirectory()
    room = open_inputs(data).room
    task = SceneTask("room", room, pathlib.Path(folder.name), Reading(), HierarchyParams(), scannet20(), overwrite=True)

    def call():
        outcome = prepare_scene(task)
        if outcome.header is None:
            raise ValueError(outcome.cause)
        return outcome.header, folder

    def outputs(result):
        header, _ = result
        return {name: np.asarray(size) for name, size in header.sizes.items()}

    return Case(call, outputs, {"levels": call()[0].sizes["level_vertices"]})
