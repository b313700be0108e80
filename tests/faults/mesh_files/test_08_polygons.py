"""Row 8: quads and polygons become fans of triangles, and it is said."""

import numpy as np
import plyfile

from preprocess.scene.scene_file import read_scene
from tests.faults.meshes import run_scenes, sheet, write_mesh


def test_08_polygons(tmp_path, capsys):
    vertices, _ = sheet()
    faces = [[0, 15, 16, 1], [1, 16, 17], [2, 17, 32, 33, 18, 3], [4, 5]]
    path = write_mesh(tmp_path / "meshes" / "a.ply", vertices, faces, labelled=False)
    status, out, _ = run_scenes(capsys, path.parent)
    assert status == 0
    assert "2 faces with more than three corners split into fans, 7 triangles in all" in out
    assert "1 face with fewer than three corners skipped" in out
    expected = [[0, 15, 16], [0, 16, 1], [1, 16, 17], [2, 17, 32], [2, 32, 33], [2, 33, 18], [2, 18, 3]]
    np.testing.assert_array_equal(read_scene(tmp_path / "out" / "a.scene.npz").faces, expected)


def test_08_predict(odd_predictions):
    _, _, program, output = odd_predictions
    assert "08_quads.ply: 14 faces with more than three corners split into fans" in program.out
    polygons = plyfile.PlyData.read(output / "08_quads.ply")["face"]["vertex_indices"]
    assert [len(polygon) for polygon in polygons] == [4] * 14  # as in the file
