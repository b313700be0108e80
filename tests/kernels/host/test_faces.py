"""Checks of mesh arguments and the canonical form of face lists."""

import numpy as np
import pytest

from kernels.host.mesh.faces import checked_mesh, unique_faces
from kernels.host.voxel.morton import box


def _reference(faces):
    """The same set by Python's sets: orientation of the lexicographically smallest rotation."""
    kept = {}
    for a, b, c in faces.tolist():
        if len({a, b, c}) < 3:
            continue
        rotated = min((a, b, c), (b, c, a), (c, a, b))
        key = tuple(sorted(rotated))
        kept[key] = min(kept.get(key, rotated), rotated)
    return [list(kept[key]) for key in sorted(kept)]


@pytest.mark.parametrize("num_vertices", [3, 8, 60])
def test_unique_faces_against_sets(num_vertices):
    rng = np.random.default_rng(num_vertices)
    faces = rng.integers(num_vertices, size=(400, 3)).astype(np.int32)
    unique = unique_faces(faces, num_vertices)
    assert unique.dtype == np.int32
    assert unique.tolist() == _reference(faces)
    np.testing.assert_array_equal(unique_faces(rng.permutation(faces), num_vertices), unique)
    np.testing.assert_array_equal(unique_faces(np.roll(faces, 1, axis=1), num_vertices), unique)


def test_unique_faces_of_a_vertex_in_very_many():
    spokes = np.arange(1, 5001, dtype=np.int32)
    fan = np.stack([np.zeros_like(spokes), spokes, np.roll(spokes, 1)], axis=1)
    unique = unique_faces(np.concatenate([fan, fan[::-1, ::-1]]), 5001)
    assert unique.tolist() == _reference(np.concatenate([fan, fan[:, ::-1]]))


def test_largest_indices_keep_their_bits():
    top = 2**20
    faces = np.array([[top - 1, top - 2, top - 3], [top - 1, top - 3, top - 2]], np.int32)
    assert unique_faces(faces, top).tolist() == [[top - 3, top - 2, top - 1]]


def test_no_faces():
    assert unique_faces(np.zeros((0, 3), np.int32), 4).shape == (0, 3)
    assert unique_faces(np.zeros((0, 3), np.int32), 0).shape == (0, 3)


def test_box():
    points = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_array_equal(box(points), [points.min(axis=0), points.max(axis=0)])


def test_checked_mesh_returns_what_kernels_take():
    vertices, faces = checked_mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.array([[0, 1, 2]], np.int64))
    assert vertices.dtype == np.float64
    assert faces.dtype == np.int32
    assert faces.flags.c_contiguous
    same, _ = checked_mesh(vertices, faces)
    assert same is vertices


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (np.zeros((3, 2)), np.zeros((0, 3), int), r"vertices must have shape \[V, 3\], got \(3, 2\)"),
        (np.zeros((3, 3)), np.zeros((1, 4), int), r"faces must have shape \[F, 3\], got \(1, 4\)"),
        (np.zeros((3, 3)), np.zeros((1, 3)), "faces must be integers, got float64"),
        (np.array([[0, 0, 0], [0, np.nan, 0], [np.inf, 0, 0]]), np.zeros((0, 3), int), "2 of 3 .* first is vertex 1"),
        (np.zeros((3, 3)), np.array([[0, 1, 2], [0, 1, 3]]), r"face 1 is \[0, 1, 3\], but there are 3 vertices"),
        (np.zeros((3, 3)), np.array([[0, -1, 2]]), r"face 0 is \[0, -1, 2\]"),
        (np.zeros((0, 3)), np.array([[0, 0, 0]]), "there are 0 vertices"),
        (np.zeros((3, 3)), np.array([[0, 1, 2**32]]), "face 0"),
    ],
)
def test_unusable_meshes_are_named(vertices, faces, message):
    with pytest.raises(ValueError, match=message):
        checked_mesh(vertices, faces)
