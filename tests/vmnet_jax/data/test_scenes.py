"""Batches are functions of seed and step; splits and folders are checked before training."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.aligned_room import aligned_room
from trainlib.core.errors import UserError
from vmnet_jax.data.batching import placed_sizes
from vmnet_jax.data.placement import training_placement
from vmnet_jax.data.scenes import EvaluationBatches, SceneFolder, TrainingBatches, read_split
from vmnet_jax.data.tiling import TileSet


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


@pytest.fixture(scope="module")
def uneven():
    """One large room along the axes among small ones: nearly every placement of it needs more than is planned."""
    small, big = aligned_room((1, 1, 0.6), "small"), aligned_room((3, 3, 2), "big")
    return (lambda name: big if name == "big" else small), [f"small_{k}" for k in range(119)] + ["big"]


def uneven_training(uneven, **more):
    read, names = uneven
    how = {"batch_size": 2, "devices": 1, "max_buckets": 3, "features": ("rgb",), "edge_cutoff": 4, "seed": 0}
    return TrainingBatches(read, names, rotation="z", **{**how, **more})


def steps_with_the_big_room(batches, epochs=8):
    names = [*["small"] * 119, "big"]
    steps = range(epochs * batches.steps_per_epoch)
    return [step for step in steps if "big" in [names[index] for _, index in batches.members(step)]]


def test_every_draw_is_used_on_any_number_of_devices_and_with_any_buckets(uneven):
    """And the scene's placement is the one that its random numbers say, however large it is."""
    one = uneven_training(uneven)
    others = uneven_training(uneven, devices=2), uneven_training(uneven, max_buckets=1)
    big, larger = uneven[0]("big"), 0
    steps = steps_with_the_big_room(one)
    assert len(steps) == 8
    for step in steps:
        batch, (_, index) = one(step), next(m for m in one.members(step) if uneven[1][m[1]] == "big")
        larger += batch.bucket not in one.buckets
        rng = np.random.default_rng([0, step // one.steps_per_epoch, index, 0, 0])
        drawn = placed_sizes(big, training_placement(big.vertices, big.params["voxel_size"], rng, "z"))
        counts = [sample.voxel_count for sample in others[0](step).arrays]
        assert drawn.voxels in [tuple(count.tolist()) for count in counts]
        np.testing.assert_array_equal(np.sum(counts, axis=0), batch.arrays[0].voxel_count)
        rows = [sample.features[: sample.voxel_count[0]] for sample in others[0](step).arrays]
        np.testing.assert_array_equal(np.concatenate(rows), batch.arrays[0].features[: sum(map(len, rows))])
        again = others[1](step).arrays[0]
        np.testing.assert_array_equal(again.features[: again.voxel_count[0]], np.concatenate(rows))
    assert larger >= 2


def test_a_bucket_does_not_depend_on_the_steps_before(uneven):
    """So a resumed run pads its batches as the uninterrupted run did, and its sums have the same order."""
    batches = uneven_training(uneven)
    steps = steps_with_the_big_room(batches)
    buckets = [batches(step).bucket for step in steps]
    assert [uneven_training(uneven)(step).bucket for step in steps[::-1]] == buckets[::-1]
    assert len({*buckets, *batches.buckets}) <= len(batches.buckets) + 2


def test_training_scenes_of_one_class_get_a_warning(scenes, caplog):
    def train(labels):
        scene = dataclasses.replace(scenes[0], labels=labels)
        how = {"features": ("rgb",), "rotation": "z", "edge_cutoff": 4, "max_buckets": 1, "seed": 0}
        TrainingBatches(lambda name: scene, ["a"], batch_size=1, devices=1, **how)

    with caplog.at_level("WARNING"):
        train(scenes[0].labels)
        assert not caplog.text
        train(np.where(scenes[0].labels == 1, 1, -1))
    assert "of one class" in caplog.text


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


def test_a_scene_that_is_listed_twice_counts_once(scene_folder, names, tmp_path, caplog):
    train, val = tmp_path / "train.txt", tmp_path / "val.txt"
    train.write_text("\n".join([names[3], names[0], names[3]]) + "\n")
    val.write_text("\n".join([names[1], names[1], names[2], names[0], names[1]]) + "\n")
    with caplog.at_level("WARNING"):
        split = read_split(scene_folder, str(train), str(val))
    assert split == ([names[3], names[0]], [names[1], names[2], names[0]])
    assert f"{train} has 1 scene more than once; each counts once: {names[3]}" in caplog.text
    assert f"{val} has 1 scene more than once; each counts once: {names[1]}" in caplog.text
    assert f"1 scene on both lists, so validation measures scenes that are trained on: {names[0]}" in caplog.text


def test_pieces_of_scenes_of_one_name_are_refused(scenes):
    with pytest.raises(ValueError, match=r"named twice: \['a'\]"):
        TileSet(lambda name: scenes[0], ["a", "b", "a"])


def test_folders_without_scenes_or_map_are_named(tmp_path):
    with pytest.raises(UserError, match=r"label_map\.csv"):
        SceneFolder(tmp_path)
    with pytest.raises(UserError, match="no scene files"):
        read_split(tmp_path, "", "")
