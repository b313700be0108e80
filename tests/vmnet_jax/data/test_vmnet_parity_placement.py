"""Augmentation and voxelisation against the original program's own loader."""

import numpy as np
import pytest

from kernels.host.voxel.voxels import unique_voxels
from tests.parity_tools import assert_close_to_largest
from vmnet_jax.data import placement as augment

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def stored(open_fixture):
    return open_fixture("vmnet/augment.npz")


def placement_of(stored, scene: int) -> augment.Placement:
    key = f"sc{scene}_"
    sign = int(stored[key + "randint"]) * 2 - 1
    rotation = augment.rotation_z(float(stored[key + "theta_u64"]) * 2 * np.pi)
    matrix = augment.training_matrix(stored[key + "randn3364"], sign, rotation, 0.02)
    moved = stored[key + "vertices_ori"].astype(np.float64) @ matrix
    extent = int(stored["full_scale"])
    offset = augment.random_offset(moved, stored[key + "r164"], stored[key + "r264"], extent)
    return augment.Placement(np.zeros(3), matrix, offset, stored[key + "color_shift"])


def scenes_of(stored) -> range:
    return range(sum(key.endswith("_randint") for key in stored.keys()))  # noqa: SIM118


def test_matrix_and_offset(stored):
    for scene in scenes_of(stored):
        placement = placement_of(stored, scene)
        np.testing.assert_allclose(placement.matrix, stored[f"sc{scene}_matrix64"], rtol=1e-12)
        np.testing.assert_allclose(placement.offset, stored[f"sc{scene}_offset64"], rtol=1e-12)


def test_voxels_labels_colours_and_mesh_positions(stored):
    coords, labels, positions = [], [], []
    for scene in scenes_of(stored):
        key = f"sc{scene}_"
        placement = placement_of(stored, scene)
        voxels = unique_voxels(placement.apply(stored[key + "vertices_ori"]))
        order = np.lexsort(voxels.coords.T[::-1])
        first = voxels.first[order]
        np.testing.assert_array_equal(first, stored[key + "unique_index"])
        coords.append(np.column_stack([voxels.coords[order], np.full(len(order), scene)]))
        labels.append(stored[key + "labels"][first])
        assert np.abs(stored[key + "colors"]).max() <= 1.0, "colours are stored in [-1, 1]"
        moved = placement.apply(stored[key + "vertices_l3"]).astype(np.float32)
        positions.append(np.column_stack([moved, np.full(len(moved), scene)]))
    np.testing.assert_array_equal(np.concatenate(coords), stored["coords_v"])
    np.testing.assert_array_equal(np.concatenate(labels), stored["labels_v"])
    assert_close_to_largest(np.concatenate(positions), stored.float32("pos_l3"))


def test_every_stored_array_was_compared(stored):
    assert not stored.unread
