"""Row 1: a mesh file that was cut off is named with element and counts; the other scenes are built."""

import json

import pytest
import trimesh

from tests.faults.meshes import built, ply_bytes, run_check, run_process, run_scenes, sheet, write_mesh

CUT = "was cut off"


@pytest.mark.parametrize("text", [False, True], ids=["binary", "ascii"])
@pytest.mark.parametrize(("element", "keep"), [("vertex", 0.2), ("face", 0.9)])
def test_01_truncated_ply(tmp_path, capsys, element, keep, text):
    folder = tmp_path / "meshes"
    for name in "amz":
        write_mesh(folder / f"{name}.ply")
    whole = ply_bytes(*sheet(), text=text)
    (folder / "m.ply").write_bytes(whole[: round(keep * len(whole))])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "m.scene.npz").write_bytes(b"an older scene")
    status, out, err = run_scenes(capsys, folder)
    assert status == 1
    assert built(folder) == ["a", "m", "z"]
    assert (tmp_path / "out" / "m.scene.npz").read_bytes() == b"an older scene"
    (failed,) = json.loads((tmp_path / "out" / "failed.json").read_text())
    declared = {"vertex": "225 rows", "face": "392 rows"}[element]
    for text_ in (failed["cause"], out, err):
        assert f"m.ply: element '{element}' declares {declared}, but the file has room for " in text_
        assert CUT in text_
    assert "2 built, 0 up to date, 1 failed" in out


@pytest.mark.parametrize("ending", ["stl", "stl_ascii", "off", "glb"])
def test_01_other_formats(tmp_path, capsys, ending):
    vertices, faces = sheet()
    whole = trimesh.Scene([trimesh.Trimesh(vertices, faces, process=False)]).export(file_type="glb")
    if ending != "glb":
        whole = trimesh.Trimesh(vertices, faces, process=False).export(file_type=ending)
    whole = whole.encode() if isinstance(whole, str) else whole
    path = tmp_path / f"m.{ending[:3]}"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    status, said = run_check(capsys, path)
    assert status == 1
    assert path.name in said
    assert CUT in said


def test_01_the_processes_end_with_status_1(tmp_path):
    path = write_mesh(tmp_path / "meshes" / "m.ply", labelled=False)
    path.write_bytes(path.read_bytes()[:-9])
    for command in (("check", path), ("scenes", f"--input={path.parent}", f"--output={tmp_path / 'out'}")):
        done = run_process("-m", f"preprocess.{command[0]}", *command[1:])
        assert done.returncode == 1
        assert "element 'face' declares 392 rows, but the file has room for 391. The file was cut" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr


def test_01_predict_goes_on_with_the_others(odd_predictions):
    _, code, program, output = odd_predictions
    assert code == 1
    assert "01_cut.ply: element 'face' declares 392 rows" in program.err
    assert "Traceback" not in program.err
    assert (output / "plain.labels.ply").is_file()
    assert not list(output.glob("01_cut*"))
