"""Row 14: a label file that is missing or of another mesh is named with both files and counts."""

import pytest

from preprocess.scene.scene_file import read_scene
from tests.faults.meshes import built, ply_bytes, run_check, run_scenes, sheet, write_mesh
from trainlib.core.errors import UserError
from vmnet_jax.data.scenes import SceneFolder


def test_14_another_count(tmp_path, capsys):
    path = write_mesh(tmp_path / "meshes" / "a.ply")
    labels = path.with_name("a.labels.ply")
    labels.write_bytes(ply_bytes(*sheet(14), labels=[1] * 196))
    for status, said in (run_scenes(capsys, path.parent)[:2], run_check(capsys, path)):
        assert status == 1
        assert f"{labels}: 196 labels for the 225 vertices of {path}. Both must list the same vertices" in said
    assert built(path.parent) == []


def test_14_missing(tmp_path, capsys):
    path = write_mesh(tmp_path / "meshes" / "a.ply", labelled=False)
    write_mesh(tmp_path / "meshes" / "b.ply")
    for status, said in (
        run_scenes(capsys, path.parent, "--require_labels")[:2],
        run_check(capsys, path, "--require_labels"),
    ):
        assert status == 1
        assert "the mesh has no labels: there is no a.labels.ply, .npy or .txt next to it, and the file has" in said
        assert "Add labels, or omit --require_labels" in said
    status, out, _ = run_scenes(capsys, path.parent)
    assert status == 0
    assert "no labels in 1 of 2 scenes (a); they can be predicted, not trained on or scored" in out
    assert read_scene(tmp_path / "out" / "a.scene.npz").labels is None
    with pytest.raises(UserError, match=r"no vertex of a has a label .* NAME\.labels\.ply"):
        SceneFolder(tmp_path / "out").check(["a", "b"])


def test_14_label_file_without_a_mesh(tmp_path, capsys):
    path = write_mesh(tmp_path / "meshes" / "a.ply")
    path.rename(path.with_name("b.ply"))
    status, said = run_check(capsys, path.parent)
    assert status == 1
    assert "no mesh a.* is next to it. Name the mesh and its label file alike" in said
