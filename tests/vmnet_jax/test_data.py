"""Batches are functions of seed and step; splits and folders are checked before training."""

import jax
import numpy as np
import pytest

from trainlib.errors import UserError
from vmnet_jax.batching import sample_sizes
from vmnet_jax.data import EvaluationBatches, SceneFolder, TrainingBatches, read_split


def training(folder, names, *, devices=1, batch_size=2, seed=0, max_buckets=2):
    return TrainingBatches(
        SceneFolder(folder),
        names,
        batch_size=batch_size,
        devices=devices,
        features=("rgb", "normals"),
        rotation="so3",
        edge_cutoff=4,
        max_buckets=max_buckets,
        seed=seed,
    )


@pytest.fixture(scope="module")
def names(scenes):
    return [scene.name for scene in scenes]


def assert_equal_trees(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_same_seed_and_step_same_batch_in_any_order(scene_folder, names):
    first, second = training(scene_folder, names), training(scene_folder, names)
    assert first.buckets == second.buckets
    forwards = [first(step) for step in (0, 1, 4)]
    backwards = [second(step) for step in (4, 1, 0)][::-1]
    for a, b in zip(forwards, backwards):
        assert (a.names, a.bucket) == (b.names, b.bucket)
        assert_equal_trees(a.arrays, b.arrays)
    other = training(scene_folder, names, seed=1)(0)
    assert not np.array_equal(forwards[0].arrays[0].features, other.arrays[0].features)


def test_an_epoch_sees_every_scene_once_and_differs_from_the_next(scene_folder, names):
    batches = training(scene_folder, names)
    epochs = [[m for s in range(3 * e, 3 * e + 3) for m in batches.members(s)] for e in range(2)]
    for number, epoch in enumerate(epochs):
        assert sorted(epoch) == [(number, i) for i in range(6)]
    assert [i for _, i in epochs[0]] != [i for _, i in epochs[1]]


def test_devices_share_the_batch_and_the_bucket(scene_folder, names):
    one, two = training(scene_folder, names), training(scene_folder, names, devices=2)
    whole, halves = one(0), two(0)
    assert whole.names == halves.names
    assert len(halves.arrays) == 2
    shapes = [[x.shape for x in jax.tree.leaves(half)] for half in halves.arrays]
    assert shapes[0] == shapes[1]
    count = whole.arrays[0].voxel_count
    np.testing.assert_array_equal(sum(h.voxel_count for h in halves.arrays), count)
    features = np.concatenate([h.features[: h.voxel_count[0]] for h in halves.arrays])
    np.testing.assert_array_equal(features, whole.arrays[0].features[: count[0]])


def test_more_scenes_in_a_batch_than_there_are(scene_folder, names):
    assert sorted(training(scene_folder, names[:2], batch_size=3).members(0))[0] == (0, 0)
    assert len(training(scene_folder, names[:2], batch_size=3)(0).names) == 3


def test_a_batch_size_that_the_devices_cannot_share_is_refused(scene_folder, names):
    with pytest.raises(UserError, match="not a multiple of the 2 devices"):
        training(scene_folder, names, devices=2, batch_size=3)


def test_evaluation_vote_0_is_the_stored_placement_and_others_differ(scene_folder, names, scenes):
    batches = EvaluationBatches(
        SceneFolder(scene_folder), names, features=("rgb",), rotation="z", max_buckets=2, seed=0
    )
    np.testing.assert_array_equal(batches.sample(1, 0).voxels.coords[0], scenes[1].voxels.coords[0])
    first, second = batches.sample(1, 1), batches.sample(1, 2)
    assert not np.array_equal(first.voxels.coords[0], second.voxels.coords[0])
    np.testing.assert_array_equal(first.voxels.coords[0], batches.sample(1, 1).voxels.coords[0])
    pair = batches([(0, 0), (5, 0)])
    assert [x.shape for x in jax.tree.leaves(pair[0])] == [x.shape for x in jax.tree.leaves(pair[1])]
    assert all(sample_sizes(batches.sample(i, v)).fits(batches.buckets[-1]) for i in range(6) for v in range(4))


def test_splits(scene_folder, names, tmp_path):
    automatic = read_split(scene_folder, "", "", 0.34)
    assert sorted(automatic.train + automatic.val) == names
    assert len(automatic.val) == 2
    assert automatic == read_split(scene_folder, "", "", 0.34)
    (tmp_path / "train.txt").write_text(f"{names[0]}\n{names[3]}\n")
    listed = read_split(scene_folder, str(tmp_path / "train.txt"), "")
    assert listed.train == [names[0], names[3]]
    (tmp_path / "train.txt").write_text(f"{names[0]}\nscene0707_00\n")
    with pytest.raises(UserError, match=r"1 of 2 scenes.*scene0707_00"):
        read_split(scene_folder, str(tmp_path / "train.txt"), "")


def test_folders_without_scenes_or_map_are_named(tmp_path):
    with pytest.raises(UserError, match=r"label_map\.csv"):
        SceneFolder(tmp_path)
    with pytest.raises(UserError, match="no scene files"):
        read_split(tmp_path, "", "")
