"""Synthetic rooms: valid meshes, the promised classes, colours that do not tell the class, the same bytes again."""

import hashlib

import numpy as np
import plyfile
import pytest
from sklearn import linear_model, preprocessing

from preprocess import rooms
from preprocess.formats.readers import read_mesh
from preprocess.synthetic.plans import PLANS, RoomLayout
from preprocess.synthetic.room import make_room

SCANNET20 = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)


@pytest.fixture(scope="module")
def eight_rooms():
    """Eight consecutive rooms that do not start at a multiple of eight."""
    return [make_room(seed) for seed in range(3, 11)]


@pytest.fixture(scope="module")
def eight_other_rooms():
    return [make_room(seed) for seed in range(1000, 1008)]


def test_rooms_are_valid_meshes(eight_rooms):
    for room in eight_rooms:
        count = len(room.vertices)
        assert 12_000 < count < 40_000
        assert np.isfinite(room.vertices).all()
        assert room.vertices.min() == 0
        assert room.faces.min() >= 0
        np.testing.assert_array_equal(np.unique(room.faces), np.arange(count))
        assert (np.diff(np.sort(room.faces, axis=1)) > 0).all()
        assert room.colors.dtype == np.uint8
        assert room.colors.shape == (count, 3)
        np.testing.assert_allclose(np.linalg.norm(room.normals, axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(room.vertices, room.vertices.astype(np.float32))


def test_edges_have_the_length_of_the_resolution(eight_rooms):
    for room in eight_rooms:
        a, b = room.vertices[room.faces[:, 0]], room.vertices[room.faces[:, 1]]
        assert 0.03 < np.median(np.linalg.norm(a - b, axis=1)) < 0.07


def test_floor_lies_below_and_walls_stand(eight_rooms):
    for room in eight_rooms:
        floor, wall = room.labels == 2, room.labels == 1
        assert np.median(room.normals[floor, 2]) > 0.95
        assert np.median(np.abs(room.normals[wall, 2])) < 0.2
        assert room.vertices[floor, 2].max() < 0.25


def test_scan_has_an_open_top_and_holes(eight_rooms):
    """No ceiling, and more rims than the one around the top: edges with one face only."""
    for room in eight_rooms:
        high = room.vertices[:, 2] > 2.0
        assert ((room.normals[:, 2] < -0.8) & high).mean() < 0.01
        edges = np.sort(np.concatenate([room.faces[:, [0, 1]], room.faces[:, [1, 2]], room.faces[:, [2, 0]]]), axis=1)
        pairs, counts = np.unique(edges, axis=0, return_counts=True)
        rim = pairs[counts == 1]
        assert (room.vertices[rim[:, 0], 2] < 1.5).sum() > 50


def test_every_class_is_in_three_of_eight_consecutive_rooms(eight_rooms, eight_other_rooms):
    for group in (eight_rooms, eight_other_rooms):
        presence = {label: sum((room.labels == label).sum() > 100 for room in group) for label in SCANNET20}
        assert min(presence.values()) >= 3, presence
        assert {int(label) for room in group for label in np.unique(room.labels)} <= {0, *SCANNET20}


def test_colour_and_height_do_not_tell_the_class(eight_rooms, eight_other_rooms):
    """A linear classifier on (red, green, blue, height) of other rooms stays far below what shape allows."""

    def features(group):
        rows = np.concatenate([np.c_[room.colors, 100 * room.vertices[:, 2]] for room in group])
        return rows, np.concatenate([room.labels for room in group])

    (train, train_labels), (test, test_labels) = features(eight_other_rooms), features(eight_rooms)
    keep = np.flatnonzero(train_labels > 0)[::20]
    scale = preprocessing.StandardScaler().fit(train[keep])
    model = linear_model.LogisticRegression(max_iter=200, tol=1e-2, class_weight="balanced")
    predicted = model.fit(scale.transform(train[keep]), train_labels[keep]).predict(scale.transform(test))
    known = test_labels > 0
    iou = []
    for label in SCANNET20:
        hit, truth = (predicted == label) & known, test_labels == label
        iou.append((hit & truth).sum() / (hit | truth).sum())
    assert 0.02 < np.mean(iou) < 0.25, np.round(iou, 2)


def test_placed_boxes_do_not_overlap():
    layout = RoomLayout(np.random.default_rng(0), 4.0, 4.0)
    for _ in range(12):
        for make in (*PLANS[0].at_wall, *PLANS[3].free):
            layout.at_wall(make(layout.rng), tries=5)
    lower, upper = (np.array(side) for side in zip(*layout.taken))
    assert len(lower) > 4
    overlap = ((lower[:, None] < upper) & (lower < upper[:, None])).all(2)
    np.testing.assert_array_equal(overlap, np.eye(len(lower), dtype=bool))
    assert (upper[:, :2] <= 4.0 + 1e-6).all()
    assert (lower >= -1e-6).all()


def test_unlucky_seeds_still_find_room():
    """Eight plans from far apart: every one is furnished in full."""
    for seed in (77_777, 123_456_789, 2**40 + 5):
        assert len(np.unique(make_room(seed, 0.08).labels)) >= 8


def test_resolution_changes_the_number_of_vertices():
    coarse, fine = len(make_room(2, 0.07).vertices), len(make_room(2, 0.05).vertices)
    assert 1.5 < fine / coarse < 2.5


@pytest.mark.parametrize(("seed", "resolution"), [(-1, 0.05), (0, 0.01), (0, 0.5)])
def test_impossible_arguments_are_refused(seed, resolution):
    with pytest.raises(ValueError, match=f"{seed} and {resolution}"):
        make_room(seed, resolution)


def _digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_same_seed_same_bytes_and_files_read_back(tmp_path, eight_rooms):
    for folder, start, count in (("a", 3, 2), ("b", 3, 2), ("c", 4, 1)):
        rooms.main([f"--output={tmp_path / folder}", f"--count={count}", f"--seed={start}"])
    first, second, third = (_digests(tmp_path / folder) for folder in "abc")
    names = ["room_0000", "room_0001"]
    assert sorted(first) == ["room.txt", *(name + ending for name in names for ending in (".labels.ply", ".ply"))]
    assert (tmp_path / "a" / "room.txt").read_text().split() == names
    assert first == second
    assert third["room_0000.ply"] == first["room_0001.ply"] != first["room_0000.ply"]

    room, path = eight_rooms[0], tmp_path / "a" / "room_0000.ply"
    mesh, read = plyfile.PlyData.read(path), read_mesh(path)
    labelled = plyfile.PlyData.read(tmp_path / "a" / "room_0000.labels.ply")["vertex"]
    for field in ("vertices", "faces", "colors", "labels"):
        np.testing.assert_array_equal(getattr(read, field), getattr(room, field))
    for axis, name in enumerate("xyz"):
        np.testing.assert_array_equal(mesh["vertex"][name], room.vertices[:, axis])
        np.testing.assert_array_equal(labelled[name], room.vertices[:, axis])
    for channel, name in enumerate(("red", "green", "blue")):
        np.testing.assert_array_equal(mesh["vertex"][name], room.colors[:, channel])
    np.testing.assert_array_equal(np.stack(mesh["face"]["vertex_indices"]), room.faces)
    assert labelled["label"].dtype == np.uint16
    np.testing.assert_array_equal(labelled["label"], room.labels)


@pytest.mark.parametrize("words", [["--count=0", "--seed=0"], ["--count=1", "--seed=-1"], ["--count=1"]])
def test_wrong_usage_exits_with_2(tmp_path, words):
    with pytest.raises(SystemExit) as caught:
        rooms.main([f"--output={tmp_path / 'never'}", *words])
    assert caught.value.code == 2
    assert not (tmp_path / "never").exists()


def test_an_output_that_is_a_file(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        rooms.main([f"--output={tmp_path / 'file'}", "--count=1", "--seed=0"])
    assert "file is a file, not a folder. Name a folder" in capsys.readouterr().err
