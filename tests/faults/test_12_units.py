"""Row 12: millimetres and y-up scans get a warning that names the flag; with the flag it is gone."""

import numpy as np
import pytest

from preprocess.scene import read_scene
from tests.faults.meshes import run_check, run_scenes, sheet, write_mesh


def flat_sheet():
    vertices, faces = sheet()
    return vertices * [1, 1, 0.01], faces


@pytest.mark.parametrize(
    ("change", "warning", "flag"),
    [
        (lambda v: v * 1000, "warning: 1.43e+03 x 1.43e+03 x 5.62 m is an unlikely size", "--units=mm"),
        (lambda v: v[:, [0, 2, 1]] * [1, 1, -1], "warning: the largest level surfaces face y, not z", "--up=y"),
        (lambda v: v[:, [0, 2, 1]] * [1, -1, 1], "warning: the largest level surfaces face -y, not z", "--up=-y"),
    ],
    ids=["millimetres", "y", "-y"],
)
def test_12_units(tmp_path, capsys, change, warning, flag):
    vertices, faces = flat_sheet()
    path = write_mesh(tmp_path / "meshes" / "a.ply", change(vertices), faces)
    said = run_check(capsys, path)[1]
    named = flag.split("=")[0]
    assert warning.split(" m is")[0].split(":")[0] in said
    assert named in said
    status, out, _ = run_scenes(capsys, path.parent)
    assert status == 0
    assert named in out
    assert warning.partition(": ")[2][-20:] in out
    assert named not in run_check(capsys, path, flag)[1]
    status, out, _ = run_scenes(capsys, path.parent, flag)
    assert named not in out
    scene = read_scene(tmp_path / "out" / "a.scene.npz")
    np.testing.assert_allclose(scene.vertices, vertices, atol=1e-6)
