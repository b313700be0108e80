"""Random placements: what they preserve, and that equal seeds give equal placements."""

import numpy as np
import pytest

from vmnet_jax.data import placement as augment

POINTS = np.random.default_rng(0).uniform(-3, 2, (500, 3)) + np.array([1000.0, -500.0, 3.0])


@pytest.mark.parametrize("rotation", augment.ROTATIONS)
def test_same_seed_same_placement(rotation):
    first, second = (
        augment.training_placement(POINTS, 0.02, np.random.default_rng([3, 1]), rotation) for _ in range(2)
    )
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)
    other = augment.training_placement(POINTS, 0.02, np.random.default_rng([3, 2]), rotation)
    assert not np.array_equal(first.matrix, other.matrix)


@pytest.mark.parametrize("draw", [augment.training_placement, augment.evaluation_placement])
@pytest.mark.parametrize("voxel_size", [0.02, 0.0005])
def test_scene_lies_inside_the_grid_or_around_it(draw, voxel_size):
    for seed in range(20):
        placed = draw(POINTS, voxel_size, np.random.default_rng(seed)).apply(POINTS)
        low, high = placed.min(0), placed.max(0)
        for axis in range(3):
            if high[axis] - low[axis] < augment.GRID_EXTENT:
                assert low[axis] >= -1e-6
                assert high[axis] < augment.GRID_EXTENT
            else:
                assert low[axis] <= 1e-3
                assert high[axis] >= augment.GRID_EXTENT - 1e-3


@pytest.mark.parametrize("rotation", augment.ROTATIONS)
def test_evaluation_placements_are_rigid_up_to_the_voxel_size(rotation):
    placement = augment.evaluation_placement(POINTS, 0.05, np.random.default_rng(1), rotation)
    np.testing.assert_allclose(placement.matrix @ placement.matrix.T, np.eye(3) / 0.05**2, atol=1e-9)
    assert not placement.color_shift.any()


def test_vertical_rotation_keeps_the_vertical_and_so3_does_not():
    upright = augment.evaluation_placement(POINTS, 1.0, np.random.default_rng(5), "z")
    np.testing.assert_allclose(np.array([0, 0, 1.0]) @ upright.matrix, [0, 0, 1.0], atol=1e-12)
    tilted = augment.evaluation_placement(POINTS, 1.0, np.random.default_rng(5), "so3")
    assert abs((np.array([0, 0, 1.0]) @ tilted.matrix)[2]) < 0.999


def test_so3_rotations_are_uniform():
    rng = np.random.default_rng(0)
    rotations = np.array([augment.rotation_so3(rng) for _ in range(4000)])
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-9)
    assert np.abs(rotations.mean(0)).max() < 0.04
    assert np.abs((rotations**2).mean(0) - 1 / 3).max() < 0.02


def test_normals_follow_the_surface():
    """The normal of a moved triangle equals the moved normal, mirrored placements included."""
    rng = np.random.default_rng(2)
    triangles = rng.standard_normal((50, 3, 3))
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    signs = set()
    for seed in range(8):
        placement = augment.training_placement(POINTS, 0.1, np.random.default_rng(seed), "so3")
        mirrored = np.linalg.det(placement.matrix) < 0
        signs.add(mirrored)
        a, b, c = (placement.apply(triangles[:, i]) for i in range(3))
        expected = np.cross(b - a, c - a) * (-1 if mirrored else 1)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(placement.apply_to_normals(normals), expected, atol=1e-4)
    assert signs == {False, True}
    assert not placement.apply_to_normals(np.zeros((2, 3))).any()


def test_unknown_rotation_is_refused():
    with pytest.raises(ValueError, match="known are z, so3"):
        augment.training_placement(POINTS, 0.02, np.random.default_rng(0), "y")
