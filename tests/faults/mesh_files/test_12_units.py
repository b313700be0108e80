"""Row 12: millimetres and y-up scans get a warning that names the flag; with the flag it is gone."""

import numpy as np
import pytest

from preprocess.scene.scene_file import read_scene
from preprocess.synthetic.room import make_room
from tests.faults.meshes import run_check, run_scenes, write_mesh


@pytest.mark.parametrize(
    ("change", "warning", "flag"),
    [
        (lambda v: v * 1000, " m is an unlikely size for a scan; is --units m right?", "--units=mm"),
        (lambda v: v[:, [0, 2, 1]] * [1, 1, -1], "warning: y seems to be up", "--up=y"),
        (lambda v: v[:, [0, 2, 1]] * [1, -1, 1], "warning: -y seems to be up", "--up=-y"),
    ],
    ids=["millimetres", "y", "-y"],
)
def test_12_units(tmp_path, capsys, change, warning, flag):
    room = make_room(11, 0.08)
    path = write_mesh(tmp_path / "meshes" / "a.ply", change(room.vertices), room.faces, colors=room.colors)
    named = flag.split("=")[0]
    said = run_check(capsys, path)[1]
    assert warning in said
    assert named in said
    status, out, _ = run_scenes(capsys, path.parent)
    assert status == 0
    assert warning in out
    assert named not in run_check(capsys, path, flag)[1]
    status, out, _ = run_scenes(capsys, path.parent, flag)
    assert named not in out
    scene = read_scene(tmp_path / "out" / "a.scene.npz")
    np.testing.assert_allclose(scene.vertices, room.vertices, atol=1e-5)
