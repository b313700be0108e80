"""The kernels are compiled before the first scene, in one process and outside of its progress."""

import pathlib
import tempfile

import numpy as np

from kernels.host.jit import is_cold
from preprocess.formats.readers import read_mesh
from preprocess.formats.writer import color_columns, triangle_elements, write_elements
from preprocess.scene.build import build_scene
from preprocess.scene.params import HierarchyParams

SIDE = 32
"""Vertices along an axis of the surface that is built."""


def compile_kernels(params: HierarchyParams) -> None:
    """Builds a small scene if the kernels are not on disk yet, so that workers load them, and none compiles them too.

    Kernels of text formats and of repairs are left to the files that need them.
    """
    if not is_cold("host.mesh"):
        return
    x, y = np.mgrid[:SIDE, :SIDE].reshape(2, -1)
    vertices = np.stack([x, y, 2 * np.sin(0.5 * x) * np.cos(0.3 * y)], axis=1) * params.voxel_size
    corner = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    colors = color_columns(np.full((len(vertices), 3), 128, np.uint8))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "surface.ply")
        write_elements(path, triangle_elements(vertices.astype(np.float32), faces.astype(np.int32), colors))
        build_scene("surface", read_mesh(path, units="none"), params)
