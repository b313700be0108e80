"""Row 4: NaN and Inf are counted and placed; --repair drops the faces, and labels still fit."""

import numpy as np
import plyfile
import pytest

from preprocess.scene.scene_file import read_scene
from tests.faults.meshes import finite, nyu_labels, run_check, run_scenes, sheet, write_mesh


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("text", [False, True], ids=["binary", "ascii"])
def test_04_coordinates(tmp_path, capsys, value, text):
    vertices, faces = sheet()
    vertices[[7, 100], [0, 2]] = value
    path = write_mesh(tmp_path / "meshes" / "a.ply", vertices, faces, text=text)
    message = "a.ply: 2 of 225 vertices are not finite or beyond 1e+12, the first is 7"
    status, said = run_check(capsys, path)
    assert status == 1
    assert "2 of 225 vertices are not finite" in said
    status, out, _ = run_scenes(capsys, path.parent)
    assert status == 1
    assert message in out
    assert "--repair" in out
    assert run_check(capsys, path, "--repair")[0] == 0
    status, out, _ = run_scenes(capsys, path.parent, "--repair")
    assert status == 0
    gone = np.isin(faces, [7, 100]).any(axis=1).sum()
    assert f"repaired: 2 of 225 vertices are not finite or beyond 1e+12, the first is 7; {gone} faces dropped" in out
    scene = read_scene(tmp_path / "out" / "a.scene.npz")
    assert len(scene.vertices) == len(scene.labels) == 225
    assert np.isfinite(scene.vertices).all()
    assert len(scene.faces) == len(faces) - gone
    good = np.delete(np.arange(225), [7, 100])
    np.testing.assert_array_equal(scene.vertices[good], vertices[good])
    labels = np.array([0, 1, 4])[np.searchsorted([1, 2, 5], nyu_labels(finite(vertices)))]
    np.testing.assert_array_equal(scene.labels[good], labels[good])


def test_04_colors(tmp_path, capsys):
    vertices, faces = sheet()
    colors = np.full((225, 3), 0.5, np.float32)
    colors[[3, 9]] = [[np.nan], [-1]]
    path = write_mesh(tmp_path / "meshes" / "a.ply", vertices, faces, colors=colors)
    status, out, _ = run_scenes(capsys, path.parent)
    assert status == 1
    assert "a.ply: 2 vertices with a negative or non-finite colour, the first is 3" in out
    assert "--repair" in out
    assert run_scenes(capsys, path.parent, "--repair")[0] == 0
    np.testing.assert_array_equal(read_scene(tmp_path / "out" / "a.scene.npz").colors, np.full((225, 3), 128))


def test_04_predict_labels_every_vertex_of_a_repaired_mesh(odd_predictions):
    meshes, _, program, output = odd_predictions
    vertices, _ = meshes["04_nan"]
    labels = plyfile.PlyData.read(output / "04_nan.labels.ply")["vertex"]
    assert len(labels["label"]) == len(vertices)
    good = np.isfinite(vertices).all(axis=1)
    np.testing.assert_array_equal(labels["x"][good], vertices[good, 0])
    assert "repaired: 2 of 225 vertices" in program.out
