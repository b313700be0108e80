"""Predictions follow a permutation of the input's vertices and equal what evaluation counts."""

import csv

import numpy as np
import plyfile

from preprocess.labels import scannet20, write_labels_ply
from preprocess.rooms import make_room
from tests.faults.meshes import shades, sheet, write_mesh


def predicted(run, workdir, meshes, output) -> None:
    code, program = run("vmnet_jax.predict", f"--workdir={workdir}", f"--mesh={meshes}", f"--output={output}")
    assert code == 0, program.err


def test_predictions_follow_a_permutation_of_the_vertices(run, finished, tmp_path):
    """No two vertices share a voxel or a cell here, so nothing depends on which of them comes first."""
    vertices, faces = sheet()
    vertices = vertices * 5
    order = np.random.default_rng(0).permutation(len(vertices))
    moved = np.random.default_rng(1).permutation(np.argsort(order)[faces])
    write_mesh(tmp_path / "meshes" / "first.ply", vertices, faces, labelled=False)
    colors = shades(vertices)[order]
    write_mesh(tmp_path / "meshes" / "sub" / "second.ply", vertices[order], moved, colors=colors, labelled=False)
    predicted(run, finished("vmnet_jax.train"), tmp_path / "meshes", tmp_path / "out")
    first = plyfile.PlyData.read(tmp_path / "out" / "first.ply")["vertex"]
    second = plyfile.PlyData.read(tmp_path / "out" / "sub" / "second.ply")["vertex"]
    np.testing.assert_array_equal(second["x"], first["x"][order])
    np.testing.assert_array_equal(second["label"], first["label"][order])
    np.testing.assert_allclose(second["probability"], first["probability"][order], rtol=1e-4)
    assert len(np.unique(first["probability"].round(4))) > 50


def test_predictions_are_those_that_evaluation_counts(run, finished, tmp_path):
    """The confusion that evaluation writes, against the labels that prediction writes for the mesh files."""
    workdir, label_map = finished("vmnet_jax.train"), scannet20()
    code, program = run("vmnet_jax.evaluate", f"--workdir={workdir}", "--split=all")
    assert code == 0, program.err
    (report,) = (workdir / "eval").glob("*_all_votes_1")
    with open(report / "confusion.csv") as file:
        counted = [[int(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]]
    (tmp_path / "meshes").mkdir()
    rooms = {f"room_{seed}": make_room(seed, 0.08) for seed in range(3)}
    for name, room in rooms.items():
        ids = np.zeros(len(room.vertices), int)
        write_labels_ply(tmp_path / "meshes" / f"{name}.ply", room.vertices, room.faces, ids, room.colors)
    predicted(run, workdir, tmp_path / "meshes", tmp_path / "out")
    own = np.zeros((20, 20), np.int64)
    for name, room in rooms.items():
        labels = plyfile.PlyData.read(tmp_path / "out" / f"{name}.labels.ply")["vertex"]["label"]
        classes, _ = label_map.to_classes(labels.astype(np.int64))
        truth, _ = label_map.to_classes(room.labels)
        np.add.at(own, (classes[truth >= 0], truth[truth >= 0]), 1)
    assert own.sum() > 1000
    np.testing.assert_array_equal(own, counted)
