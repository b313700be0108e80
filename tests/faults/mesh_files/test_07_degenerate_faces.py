"""Row 7: degenerate and duplicate faces and non-manifold edges are counted, and the result is the same every time."""

import numpy as np
import pytest

from preprocess.scene.scene_file import read_scene
from tests.faults.meshes import run_check, run_scenes, sheet, write_mesh

COUNTS = (
    "3 faces with a repeated corner ignored",
    "1 face without area kept",
    "2 faces with the corners of another kept",
    "1 edge of more than two faces (non-manifold) kept",
)


@pytest.fixture
def odd(tmp_path):
    vertices, faces = sheet()
    vertices = np.concatenate([vertices, [vertices[0] + [0, 0, 0.5], [5, 0, 0], [6, 0, 0], [7, 0, 0]]])
    extra = [[4, 4, 5], [7, 8, 7], [9, 9, 9], [226, 227, 228], faces[50][[1, 2, 0]], faces[60][[0, 2, 1]], [0, 16, 225]]
    return write_mesh(tmp_path / "meshes" / "a.ply", vertices, np.concatenate([faces, extra]).astype(np.int32))


def test_07_degenerate_faces(odd, tmp_path, capsys):
    contents = []
    for _ in range(2):
        status, out, _ = run_scenes(capsys, odd.parent, "--overwrite")
        assert status == 0
        for count in COUNTS:
            assert count in out
        contents.append((tmp_path / "out" / "a.scene.npz").read_bytes())
    assert contents[0] == contents[1]
    scene = read_scene(tmp_path / "out" / "a.scene.npz")
    assert len(scene.vertices) == 229
    for fine, trace, coarse in zip((scene.vertices, *scene.level_vertices), scene.traces, scene.level_vertices):
        assert len(trace) == len(fine)
        assert set(trace) == set(range(len(coarse)))
    for faces in scene.level_faces:
        assert (np.diff(np.sort(faces, axis=1), axis=1) > 0).all()


def test_07_check_counts_the_same(odd, capsys):
    said = run_check(capsys, odd)[1]
    assert all(count in said for count in COUNTS)
