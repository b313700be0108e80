"""Row 10: no vertices is a named error; a mesh of which every level is one vertex is legal."""

import numpy as np
import plyfile

from preprocess.scene.scene_file import read_scene
from tests.faults.meshes import built, run_check, run_scenes, write_mesh


def test_10_no_vertices(tmp_path, capsys):
    path = write_mesh(tmp_path / "meshes" / "a.ply", np.zeros((0, 3)), np.zeros((0, 3), int), labelled=False)
    for status, said in (run_scenes(capsys, path.parent)[:2], run_check(capsys, path)):
        assert status == 1
        assert "a.ply" in said
        assert "the file has no vertices. Give a mesh with vertices and faces" in said


def test_10_no_finite_vertex(tmp_path, capsys):
    path = write_mesh(tmp_path / "meshes" / "a.ply", np.full((3, 3), np.nan), np.array([[0, 1, 2]]), labelled=False)
    status, out, _ = run_scenes(capsys, path.parent, "--repair")
    assert status == 1
    assert "a.ply: no vertex is finite and below 1e+12. Export the file again" in out
    assert built(path.parent) == []


def test_10_levels_of_one_vertex(tmp_path, capsys):
    path = write_mesh(tmp_path / "meshes" / "a.ply", np.full((3, 3), 0.5), np.array([[0, 1, 2]]))
    assert run_scenes(capsys, path.parent)[0] == 0
    scene = read_scene(tmp_path / "out" / "a.scene.npz")
    assert [len(level) for level in scene.level_vertices] == [1] * 7
    assert [len(level) for level in scene.voxels.coords] == [1] * 7


def test_10_predict(odd_predictions):
    _, code, program, output = odd_predictions
    assert code == 1
    assert "10_empty.ply: the file has no vertices" in program.err
    place = plyfile.PlyData.read(output / "10_one_place.ply")["vertex"]
    assert len(set(place["label"])) == 1
    assert np.isfinite(place["probability"]).all()
