"""Row 13: labels outside the set are ignored and counted for each file; above a limit they are an error."""

import numpy as np
import pytest

from preprocess.scene.scene_file import read_scene
from tests.faults.meshes import built, nyu_labels, ply_bytes, run_check, run_scenes, sheet, write_mesh

OUTSIDE = [50, 149, 150, -1]


@pytest.fixture
def mesh(tmp_path):
    """write(share) -> the mesh, `share` of whose labels lie outside the set."""

    def write(share):
        vertices, faces = sheet()
        path = write_mesh(tmp_path / "meshes" / "a.ply", vertices, faces)
        labels = nyu_labels(vertices)
        labels[: round(share * len(labels))] = np.resize(OUTSIDE, round(share * len(labels)))
        path.with_name("a.labels.ply").write_bytes(ply_bytes(vertices, faces, labels=labels))
        return path, labels

    return write


def test_13_foreign_labels(mesh, tmp_path, capsys):
    path, labels = mesh(0.1)
    status, out, _ = run_scenes(capsys, path.parent)
    assert status == 0
    counts = "17 of 220 labelled vertices ignored: 50, 149, 150"  # -1 is unlabelled
    assert "warning: in 1 of 1 scene more than 1% of the labelled vertices have ids outside the label map" in out
    assert counts in out
    status, said = run_check(capsys, path, "--label_map=scannet20")
    assert status == 0
    assert counts in said
    classes = read_scene(tmp_path / "out" / "a.scene.npz").labels
    np.testing.assert_array_equal(classes == -1, np.isin(labels, OUTSIDE))
    np.testing.assert_array_equal(classes[22:], np.array([0, 1, 4])[np.searchsorted([1, 2, 5], labels[22:])])


def test_13_too_many(mesh, capsys):
    path, _ = mesh(1)
    for status, said in (run_scenes(capsys, path.parent)[:2], run_check(capsys, path, "--label_map=scannet20")):
        assert status == 1
        assert "a.labels.ply" in said
        assert "169 of 169 labelled vertices have ids that the label map lacks: 50, 149, 150" in said
        assert "Give the data's own --label_map, or --label_map auto" in said
    assert built(path.parent) == []
