"""Votes are independent random placements that depend on the seed, the scene and their number alone."""

import dataclasses
import itertools

import numpy as np
import pytest
from ml_collections import ConfigDict

from preprocess.labels.label_map import scannet20
from preprocess.mesh.mesh import Mesh
from preprocess.scene.params import HierarchyParams
from tests.aligned_room import aligned_room
from vmnet_jax.data.batching import Sizes, placed_sizes
from vmnet_jax.data.ladder import rung
from vmnet_jax.data.placement import evaluation_placement
from vmnet_jax.data.scenes import EvaluationBatches, position_digest, votes_of
from vmnet_jax.learn.inference import fitting_batches, scene_scores
from vmnet_jax.learn.restore import TrainedRun
from vmnet_jax.prediction import predictor as predictor_module

HOW = {"features": ("rgb", "normals"), "rotation": "z", "seed": 0}


@pytest.fixture(scope="module")
def room():
    return aligned_room((3, 3, 2))


@pytest.fixture(scope="module")
def hall():
    return aligned_room((4, 2, 2), "hall")


def evaluation(*scenes, **more):
    by_name = {scene.name: scene for scene in scenes}
    return EvaluationBatches(by_name.__getitem__, list(by_name), **{"max_buckets": 1, **HOW, **more})


def read_out(variables, batch) -> np.ndarray:
    """Instead of a network: the features of the voxels around each vertex, [devices, V_0, F]."""
    corners, weights = np.asarray(batch.corners[0].corners), np.asarray(batch.corners[0].weights)
    features = np.asarray(batch.features)
    return np.stack([(f[c] * w[..., None]).sum(1) for f, c, w in zip(features, corners, weights)])


@pytest.mark.parametrize("rotation", ["z", "so3"])
def test_no_vote_of_a_scene_along_the_axes_is_its_unaugmented_placement(room, rotation):
    batches = evaluation(room, rotation=rotation)
    samples = [batches.sample(0, vote) for vote in range(9)]
    for one, other in itertools.combinations(samples, 2):
        assert not np.array_equal(one.weights[0], other.weights[0])
    counts = [len(sample.voxels.coords[0]) for sample in samples]
    assert np.mean(np.array(counts[1:]) > 1.1 * counts[0]) > 0.5


def test_votes_need_as_many_voxels_as_independent_placements_do(room):
    """64 votes against 64 placements of other random numbers: no part of the distribution is missing."""
    batches, rng = evaluation(room, votes=64), np.random.default_rng(7)
    votes = [sizes.voxels[0] for sizes in batches.sizes]
    free = [evaluation_placement(room.vertices, room.params["voxel_size"], rng) for _ in range(64)]
    independent = [placed_sizes(room, placement).voxels[0] for placement in free]
    for share in (10, 50, 90):
        assert np.percentile(votes, share) == pytest.approx(np.percentile(independent, share), rel=0.05)


def test_planned_votes_share_a_rung_and_others_take_a_larger_one_only_where_they_need_it(room):
    """Vote 7 of this room, and no other of the first eight, needs a larger rung than the room as it is."""
    planned, unplanned = evaluation(room, votes=8), evaluation(room)
    shapes = {planned([(0, vote)])[0].features.shape for vote in range(1, 9)}
    assert {rows for rows, _ in shapes} == {planned.buckets[-1].voxels[0]}
    larger = [unplanned([(0, vote)])[0] for vote in range(1, 9)]
    assert all(batch.voxel_count[0] > unplanned.sizes[0].voxels[0] for batch in larger)
    rows = [len(batch.features) for batch in larger]
    assert rows[6] == rung(placed_sizes(*unplanned.placed(0, 7))).voxels[0]
    assert set(rows[:6] + rows[7:]) == {unplanned.buckets[-1].voxels[0]} != {rows[6]}


def test_the_largest_planned_batch_is_compiled_for_also_where_votes_need_fewer_rows(room):
    """The placements of the votes decide on the rung; the unaugmented scene is none of them and may not fit."""
    batches = evaluation(room, votes=2)
    batches.buckets = [max(batches.sizes)]
    batches.buckets[0] = Sizes(*(tuple(rows + 1 for rows in part) for part in batches.buckets[0]))
    assert batches.largest().voxel_count[0] in [sizes.voxels[0] for sizes in batches.sizes]


@pytest.mark.parametrize("votes", [1, 4])
def test_the_rung_of_a_scene_depends_on_neither_company_nor_history(room, hall, votes):
    small = aligned_room((1, 1, 1), "small")
    alone = {scene.name: evaluation(scene, votes=votes).buckets for scene in (room, hall, small)}
    assert alone["small"] != alone["room"]
    together = evaluation(room, small, hall, votes=votes, max_buckets=3)
    for group, name in enumerate(together.names):
        for batch in together([(group, vote) for vote in votes_of(votes)]):
            assert len(batch.features) == alone[name][0].voxels[0]


def test_a_vote_depends_on_neither_name_nor_place_nor_order_of_the_vertices(room, hall):
    order = np.random.default_rng(0).permutation(len(room.vertices))
    moved = dataclasses.replace(room, name="moved", vertices=room.vertices[order])
    assert position_digest(moved.vertices) == position_digest(room.vertices) != position_digest(hall.vertices)
    alone, second = evaluation(room), evaluation(hall, moved, max_buckets=3, votes=3)
    other_seed = evaluation(room, seed=1)
    for vote in (1, 2):
        expected = alone.sample(0, vote).voxels.coords[0]
        np.testing.assert_array_equal(second.sample(1, vote).voxels.coords[0], expected)
        assert not np.array_equal(other_seed.sample(0, vote).voxels.coords[0], expected)


def test_two_scenes_have_placements_of_their_own(room, hall):
    batches = evaluation(room, hall)
    first, second = batches.placed(0, 1)[1], batches.placed(1, 1)[1]
    assert not np.allclose(first.matrix, second.matrix)


@pytest.fixture
def predictor(room, monkeypatch):
    """A maker of predictors with `read_out` in place of a network."""
    monkeypatch.setattr(predictor_module, "network_forward", lambda config, classes: read_out)
    config = ConfigDict({**HOW, "platform": "any"})
    run = TrainedRun(config, scannet20(), HierarchyParams.from_dict(room.params), {}, "m", {}, 0)
    return lambda max_voxels: predictor_module.Predictor(run, max_voxels)


@pytest.mark.parametrize("max_voxels", [10**6, 1500], ids=["whole", "tiles"])
@pytest.mark.parametrize("votes", [1, 4])
def test_labels_of_a_mesh_do_not_depend_on_the_meshes_before_it(predictor, room, hall, votes, max_voxels):
    first, second = (Mesh(s.vertices, s.faces, s.colors, s.normals) for s in (hall, room))
    fresh, used = predictor(max_voxels), predictor(max_voxels)
    expected = fresh.predict(second, votes).scores
    for before in (first, second):
        used.predict(before, 2)
    np.testing.assert_array_equal(used.predict(second, votes).scores, expected)
    assert len(np.unique(expected.round(3), axis=0)) > 100


def test_two_scenes_of_one_name_are_refused(predictor, room, hall):
    with pytest.raises(ValueError, match=r"scenes are named twice: \['room'\]"):
        predictor(0).predict_scenes([room, dataclasses.replace(hall, name="room")])


@pytest.mark.parametrize("max_voxels", [10**6, 1500], ids=["whole", "tiles"])
def test_scores_are_the_same_in_any_order_and_company(room, hall, max_voxels):
    def scores(*scenes):
        read = {scene.name: scene for scene in scenes}
        batches, tiles = fitting_batches(
            read_out, {}, read.__getitem__, list(read), max_voxels, max_buckets=3, votes=3, **HOW
        )
        found = scene_scores(read_out, {}, batches, tiles, votes=3)
        return {tiles.scenes[index]: summed for index, summed in found}

    alone = scores(room)["room"]
    for company in (scores(room, hall), scores(hall, room)):
        np.testing.assert_array_equal(company["room"], alone)
