"""Row 6: duplicate and isolated vertices are kept and counted; each gets a prediction, in the file's order."""

import numpy as np
import plyfile

from preprocess.scene.scene_file import read_scene
from tests.faults.meshes import run_check, run_scenes, write_mesh, write_odd_meshes


def test_06_duplicate_vertices(tmp_path, capsys):
    vertices, faces = write_odd_meshes(tmp_path / "odd")["06_doubled"]
    path = write_mesh(tmp_path / "meshes" / "a.ply", vertices, faces)
    status, out, _ = run_scenes(capsys, path.parent)
    assert status == 0
    for said in (out, run_check(capsys, path)[1]):
        assert "28 isolated vertices kept" in said
        assert "30 vertices at the place of another kept" in said
    scene = read_scene(tmp_path / "out" / "a.scene.npz")
    np.testing.assert_array_equal(scene.vertices, vertices)
    assert len(scene.labels) == len(scene.traces[0]) == len(vertices)
    np.testing.assert_array_equal(scene.traces[0][225:255], scene.traces[0][:30])


def test_06_every_input_vertex_gets_a_prediction(odd_predictions):
    meshes, _, _, output = odd_predictions
    for name in ("06_doubled", "plain"):
        vertices, _ = meshes[name]
        labels = plyfile.PlyData.read(output / f"{name}.labels.ply")["vertex"]
        np.testing.assert_array_equal(np.stack([labels[axis] for axis in "xyz"], 1), vertices)
    doubled = plyfile.PlyData.read(output / "06_doubled.labels.ply")["vertex"]["label"]
    np.testing.assert_array_equal(doubled[225:255], doubled[:30])
