"""Predictions follow a permutation of the input's vertices and equal what evaluation counts."""

import numpy as np
import plyfile
import pytest
from ml_collections import ConfigDict

from preprocess.formats.readers import read_mesh
from preprocess.labels.label_map import scannet20, write_label_map
from preprocess.scene.build import build_scene
from preprocess.scene.params import HierarchyParams
from preprocess.scene.scene_file import write_scene
from tests.faults.meshes import shades, sheet, write_mesh
from vmnet_jax.data.scenes import SceneFolder
from vmnet_jax.learn.inference import evaluate_scenes, fitting_batches
from vmnet_jax.learn.restore import TrainedRun
from vmnet_jax.prediction import predictor


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


def read_out(variables, batch) -> np.ndarray:
    """Instead of a network: the features of the voxels around each vertex, [devices, V_0, F]."""
    corners, weights = np.asarray(batch.corners[0].corners), np.asarray(batch.corners[0].weights)
    features = np.asarray(batch.features)
    return np.stack([(f[c] * w[..., None]).sum(1) for f, c, w in zip(features, corners, weights)])


@pytest.mark.parametrize("votes", [1, 3])
@pytest.mark.parametrize("max_voxels", [10**6, 200], ids=["whole", "tiles"])
def test_predictions_are_those_that_evaluation_counts(tmp_path, monkeypatch, votes, max_voxels):
    """A mesh file predicted, against the confusion of the scene file that preprocessing makes of it."""
    monkeypatch.setattr(predictor, "network_forward", lambda config, classes: read_out)
    params, how = HierarchyParams(cells=(0.12, 0.25), voxel_size=0.1), {"features": ("rgb", "normals"), "seed": 0}
    vertices, faces = sheet(25)
    path = write_mesh(tmp_path / "a.ply", vertices, faces, colors=shades(vertices))
    config = ConfigDict({**how, "platform": "any", "rotation": "z"})
    run = TrainedRun(config, scannet20(), params, {}, "m", {}, 0)
    classes = predictor.Predictor(run, max_voxels).predict(read_mesh(path), votes).classes
    assert len(np.unique(classes)) >= 3
    scene = build_scene("a", read_mesh(path), params, scannet20())
    write_scene(tmp_path / "a.scene.npz", scene)
    write_label_map(tmp_path / "label_map.csv", scannet20())
    read = SceneFolder(tmp_path)
    batches, tiles = fitting_batches(read_out, {}, read, ["a"], max_voxels, rotation="z", max_buckets=3, **how)
    table = evaluate_scenes(read_out, {}, batches, tiles, 6, votes=votes)
    own = np.zeros((6, 6), np.int64)
    np.add.at(own, (classes, scene.labels), 1)
    np.testing.assert_array_equal(table, own)
