"""Row 5: a face that names a vertex that is not there is an error with the face's number and the value."""

import pytest

from tests.faults.meshes import built, run_check, run_scenes, sheet, write_mesh


@pytest.mark.parametrize("index", [225, -1, 2**31 - 1])
@pytest.mark.parametrize("text", [False, True], ids=["binary", "ascii"])
def test_05_face_index(tmp_path, capsys, index, text):
    vertices, faces = sheet()
    faces[11, 1] = faces[12, 2] = index
    path = write_mesh(tmp_path / "meshes" / "a.ply", vertices, faces, labelled=False, text=text)
    message = f"face 11 names vertex {index}, but the vertices are 0 to 224 (2 in all)"
    for status, said in (run_scenes(capsys, path.parent)[:2], run_check(capsys, path)):
        assert status == 1
        assert "a.ply" in said
        assert message in said
        assert "export it again" in said
    assert built(path.parent) == []


def test_05_obj_counts_from_one(tmp_path, capsys):
    path = tmp_path / "a.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nf 1 2 99999999999999999999999\n")
    status, said = run_check(capsys, path)
    assert status == 1
    assert "is not a number of a vertex" in said
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nf 1 2 4\n")
    assert "face 2 names vertex 4, but the vertices are 1 to 3" in run_check(capsys, path)[1]


def test_05_predict(odd_predictions):
    _, code, program, output = odd_predictions
    assert code == 1
    assert "05_index.ply: face " in program.err
    assert "names vertex 9999" in program.err
    assert not list(output.glob("05_index*"))
