"""Row 19: a scene that is too large is named with its size and the limit, before step 1; training sees random crops of
it, evaluation and prediction overlapping tiles, and every vertex is labelled."""

import numpy as np
import plyfile
import pytest

from preprocess.labels.label_map import scannet20
from preprocess.mesh.mesh import Mesh
from preprocess.mesh.normals import vertex_normals
from preprocess.scene.build import build_scene, crop_scene, random_crop
from preprocess.scene.params import HierarchyParams
from tests.faults.meshes import nyu_labels, shades, sheet, write_mesh
from trainlib.run.memory import StepMemory
from vmnet_jax.data.scenes import TrainingBatches
from vmnet_jax.data.tiling import plan_tiles
from vmnet_jax.learn import inference

LIMIT = 900
HOW = {"features": ("rgb", "normals"), "rotation": "z", "max_buckets": 2, "seed": 0}


@pytest.fixture(scope="module")
def scene():
    """A sheet of 60 x 60 vertices, 6 m wide, with about 3,500 voxels."""
    vertices, faces = sheet(60)
    mesh = Mesh(vertices, faces, shades(vertices / 4), vertex_normals(vertices, faces), nyu_labels(vertices))
    return build_scene("large", mesh, HierarchyParams(cells=(0.12, 0.25), voxel_size=0.1), scannet20())


def read_out(variables, batch) -> np.ndarray:
    """Instead of a network: the features of the voxels around each vertex, [devices, V_0, F]."""
    corners, weights = np.asarray(batch.corners[0].corners), np.asarray(batch.corners[0].weights)
    features = np.asarray(batch.features)
    return np.stack([(f[c] * w[..., None]).sum(1) for f, c, w in zip(features, corners, weights)])


def whole_and_tiled(scene) -> tuple[np.ndarray, np.ndarray, int]:
    """Scores of the scene in one pass and in tiles, and the number of tiles."""
    scores = []
    for limit in (10**6, LIMIT):
        batches, tiles = inference.fitting_batches(
            read_out, {}, lambda name: scene, [scene.name], limit, **(HOW | {"max_buckets": 1})
        )
        ((place, found),) = inference.scene_scores(read_out, {}, batches, tiles)
        assert place == 0
        scores.append(found)
    return *scores, len(tiles.names)


def test_19_tiles_own_every_vertex_once_deep_inside(scene):
    tiles = plan_tiles(scene.vertices, scene.voxels.coords[0], scene.voxel_inverse, LIMIT)
    assert len(tiles) >= 4
    np.testing.assert_array_equal(np.sum([tile.scored for tile in tiles], axis=0), 1)
    low, high = scene.vertices[:, :2].min(0), scene.vertices[:, :2].max(0)
    for tile in tiles:
        assert not (tile.scored & ~tile.inside).any()
        assert len(np.unique(scene.voxel_inverse[tile.inside])) <= LIMIT
        box = scene.vertices[tile.inside, :2]
        for axis in range(2):  # what is scored stays off the cuts, by at least a tenth of the tile
            scored = scene.vertices[tile.scored, axis]
            margin = 0.1 * np.ptp(box[:, axis])
            assert box[:, axis].min() < low[axis] + 0.2 or scored.min() > box[:, axis].min() + margin
            assert box[:, axis].max() > high[axis] - 0.2 or scored.max() < box[:, axis].max() - margin


def test_19_tiled_scores_are_those_of_the_whole(scene, caplog):
    with caplog.at_level("INFO"):
        whole, tiled, tiles = whole_and_tiled(scene)
    voxels = len(scene.voxels.coords[0])
    message = (
        f"large: {voxels} voxels are more than the {LIMIT} of --max_voxels; it is seen in {tiles} overlapping tiles"
    )
    assert message in caplog.text
    assert tiles >= 4
    assert whole.shape == tiled.shape == (len(scene.vertices), 6)
    error = np.abs(tiled - whole).max(axis=1)
    shifted = np.abs(whole[np.random.default_rng(0).permutation(len(whole))] - whole).max(axis=1)
    assert np.median(error) < 0.05
    assert np.median(shifted) > 0.3


def test_19_the_memory_is_a_limit_too(scene, caplog, monkeypatch):
    monkeypatch.setattr(inference, "step_memory", lambda *_: StepMemory(0, 0, 30 * 2**30))
    monkeypatch.setattr(inference, "device_memory", lambda: 10 * 2**30)
    with caplog.at_level("INFO"):
        batches, tiles = inference.fitting_batches(read_out, {}, lambda name: scene, [scene.name], **HOW)
    assert "of a memory of 10.0 GiB; it is seen in" in caplog.text
    fitting = 0.31 * len(scene.voxels.coords[0])
    assert all(len(tiles(name).voxels.coords[0]) < fitting for name in tiles.names)
    assert len(batches.names) == len(tiles.names) > 2


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_19_the_padded_tiles_fit_the_memory(scene, monkeypatch, share):
    """The memory that a pass needs goes by its padded rows, which are up to twice the real ones."""
    monkeypatch.setattr(inference, "device_memory", lambda: int(share * 4096))
    monkeypatch.setattr(
        inference, "pass_memory", lambda forward, variables, batches: StepMemory(0, 0, batches.buckets[-1].voxels[0])
    )
    assert 2048 < len(scene.voxels.coords[0]) < 4096
    batches, tiles = inference.fitting_batches(read_out, {}, lambda name: scene, [scene.name], **HOW)
    assert len(tiles.names) > 1
    assert batches.buckets[-1].voxels[0] <= share * 4096


def test_19_crops_keep_what_belongs_to_a_vertex(scene):
    inside = np.zeros(len(scene.vertices), bool)
    inside[700:1500] = True
    crop = crop_scene(scene, inside)
    for name in ("vertices", "colors", "normals", "labels"):
        np.testing.assert_array_equal(getattr(crop, name), getattr(scene, name)[inside])
    expected = scene.faces[inside[scene.faces].all(axis=1)]
    np.testing.assert_array_equal(np.flatnonzero(inside)[crop.faces], expected)
    assert crop.params == scene.params
    assert len(crop.labels_l0) == len(crop.level_vertices[0])
    sizes = [len(random_crop(scene, LIMIT, np.random.default_rng(seed)).voxel_first) for seed in range(5)]
    assert 0.5 * LIMIT < min(sizes) <= max(sizes) <= 1.15 * LIMIT


def test_19_training_crops(scene, caplog):
    how = {**HOW, "batch_size": 2, "devices": 1, "edge_cutoff": 0, "max_voxels": LIMIT}
    with caplog.at_level("INFO"):
        first, second = (TrainingBatches(lambda name: scene, ["large", "large"], **how) for _ in range(2))
    voxels = len(scene.voxels.coords[0])
    assert f"large: {voxels} voxels are more than the {LIMIT} of max_voxels; training sees random crops" in caplog.text
    assert first.buckets[-1].voxels[0] < 3 * LIMIT
    seen = set()
    for step in range(3):
        a, b = first(step), second(step)
        np.testing.assert_array_equal(a.arrays[0].features, b.arrays[0].features)
        seen.add(int(a.arrays[0].voxel_count[0]))
        assert max(seen) < 2.4 * LIMIT
    assert len(seen) == 3
    del how["max_voxels"]
    assert TrainingBatches(lambda name: scene, ["large", "large"], **how).buckets[-1].voxels[0] > 2 * voxels


def test_19_predict_tiles_by_itself(run, finished, tmp_path):
    vertices, faces = sheet(60)
    path = write_mesh(tmp_path / "meshes" / "large.ply", vertices * 3, faces, labelled=False)
    where = [f"--workdir={finished('vmnet_jax.train')}", f"--mesh={path}", f"--output={tmp_path / 'out'}"]
    code, program = run("vmnet_jax.predict", *where, "--max_voxels=1500")
    assert code == 0, program.err
    assert "voxels are more than the 1500 of --max_voxels; it is seen in " in program.err
    labels = plyfile.PlyData.read(tmp_path / "out" / "large.ply")["vertex"]
    assert len(labels["label"]) == len(vertices)
    assert (labels["label"] > 0).all()
    assert (labels["probability"] > 0).all()
