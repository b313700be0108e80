"""Row 9: a file without faces is refused with what is needed."""

from tests.faults.meshes import built, run_check, run_scenes, sheet, write_mesh

MESSAGE = "points. This program needs a mesh; make one of the point cloud first"


def test_09_point_cloud(tmp_path, capsys):
    vertices, faces = sheet()
    path = write_mesh(tmp_path / "meshes" / "a.ply", vertices, faces[:0], labelled=False)
    for status, said in (run_scenes(capsys, path.parent)[:2], run_check(capsys, path)):
        assert status == 1
        assert MESSAGE in said
        assert "a.ply" in said
    assert built(path.parent) == []


def test_09_predict(odd_predictions):
    _, code, program, output = odd_predictions
    assert code == 1
    assert f"09_points.ply: the file has no faces: it is a point cloud of 225 {MESSAGE}" in program.err
    assert not list(output.glob("09_points*"))
