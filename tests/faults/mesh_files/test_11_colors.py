"""Row 11: missing colours are grey with a warning, or refused; the range of colours is detected and said."""

import numpy as np
import pytest

from preprocess.scene.scene_file import read_scene
from tests.faults.meshes import built, run_check, run_scenes, sheet, write_mesh


def test_11_no_colors(tmp_path, capsys):
    path = write_mesh(tmp_path / "meshes" / "a.ply", *sheet(), colors=None)
    status, out, _ = run_scenes(capsys, path.parent)
    assert status == 0
    assert "warning: no colours in 1 of 1 scene; grey is used, --require_colors refuses them" in out
    assert (read_scene(tmp_path / "out" / "a.scene.npz").colors == 128).all()
    status, said = run_check(capsys, path)
    assert status == 0
    assert "warning: no colours, grey is used" in said
    (tmp_path / "out" / "a.scene.npz").unlink()
    for status, said in (
        run_scenes(capsys, path.parent, "--require_colors")[:2],
        run_check(capsys, path, "--require_colors"),
    ):
        assert status == 1
        assert "a.ply" in said
        assert "the mesh has no colours. Omit --require_colors to use grey" in said
    assert built(path.parent) == []


@pytest.mark.parametrize(
    ("dtype", "values", "expected", "said"),
    [
        ("f4", [0, 0.5, 1], [0, 128, 255], "colours of type float32 read as 0 to 1"),
        ("f4", [0, 7, 255], [0, 7, 255], "colours of type float32 read as 0 to 255"),
        ("u2", [0, 257, 65535], [0, 1, 255], "colours of type uint16 read as 16 bit"),
        ("u1", [0, 1, 1], [0, 1, 1], ""),
    ],
)
@pytest.mark.parametrize("text", [False, True], ids=["binary", "ascii"])
def test_11_ranges(tmp_path, capsys, dtype, values, expected, said, text):
    vertices, faces = sheet()
    colors = np.tile(np.array(values, dtype), (len(vertices), 1))
    path = write_mesh(tmp_path / "meshes" / "a.ply", vertices, faces, colors=colors, text=text)
    status, out, _ = run_scenes(capsys, path.parent)
    assert status == 0
    assert said in out
    np.testing.assert_array_equal(read_scene(tmp_path / "out" / "a.scene.npz").colors[0], expected)


def test_11_out_of_every_range(tmp_path, capsys):
    vertices, faces = sheet()
    colors = np.full((len(vertices), 3), 7e4, "f4")
    path = write_mesh(tmp_path / "meshes" / "a.ply", vertices, faces, colors=colors)
    status, said = run_check(capsys, path)
    assert status == 1
    assert "colours reach 70000, which is none of 0 to 1, 0 to 255 or 16 bit. Export the colours as bytes" in said


def test_11_predict_warns(odd_predictions):
    _, _, program, output = odd_predictions
    assert "11_grey.ply: warning: no colours, grey is used" in program.out
    assert (output / "11_grey.labels.ply").is_file()
