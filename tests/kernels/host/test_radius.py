"""Neighbours in space against all pairs."""

import numpy as np
import pytest

from kernels.host.mesh.radius import radius_graph


def points_of(seed, count=300):
    """A slab far from the origin, with points that lie on each other and some on a lattice whose step is the radius."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 3, (count, 3)) * [1, 1, 0.2]
    points[10:20] = points[:10]
    points[20:40] = 0.25 * rng.integers(0, 8, (20, 3))
    return points + np.array([100, -50, 3])


def pairs_by_force(points, radius):
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return {(i, j) for i, j in np.argwhere(distance <= radius).tolist() if i != j}


def pairs_of(table):
    return {(i, j) for i, row in enumerate(table.ring.tolist()) for j in row if j >= 0}


@pytest.mark.parametrize("radius", [0.25, 0.7, 10.0])
def test_wide_tables_have_all_pairs(radius):
    points = points_of(0)
    table = radius_graph(points, radius, 300, np.random.default_rng(0))
    assert pairs_of(table) == pairs_by_force(points, radius)
    np.testing.assert_array_equal(table.degree, (table.ring >= 0).sum(1))


def test_narrow_tables_have_a_symmetric_part_that_cannot_grow():
    points, radius, width = points_of(1), 0.5, 6
    table = radius_graph(points, radius, width, np.random.default_rng(0))
    found, there = pairs_of(table), pairs_by_force(points, radius)
    assert found < there
    assert found == {(j, i) for i, j in found}
    assert table.degree.max() == width
    assert len(table.overflow_target) == 0
    assert all(max(table.degree[i], table.degree[j]) == width for i, j in there - found)
    ring, reverse = table.ring, table.reverse
    for i, slot in np.argwhere(ring >= 0):
        assert ring.ravel()[reverse[i, slot]] == i
        assert reverse[i, slot] // width == ring[i, slot]


def test_which_neighbours_stay_is_drawn():
    points = points_of(2)
    one, same, other = (radius_graph(points, 0.7, 5, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.ring, same.ring)
    assert pairs_of(one) != pairs_of(other)


def test_a_pair_at_exactly_the_radius_is_found():
    """Divided by the radius, the two fall into cells 0 and 2."""
    points = np.array([[0, 0, 0], [np.nextafter(1.0, 0), 0, 0], [2, 0, 0]])
    table = radius_graph(points, 1.0, 4, np.random.default_rng(0))
    assert [sorted(row[row >= 0].tolist()) for row in table.ring] == [[1], [0, 2], [1]]


def test_no_points_and_wrong_arguments():
    rng = np.random.default_rng(0)
    assert radius_graph(np.zeros((0, 3)), 1.0, 4, rng).ring.shape == (0, 4)
    assert (radius_graph(np.zeros((1, 3)), 1.0, 4, rng).ring == -1).all()
    for points, radius, width in (
        (np.zeros((2, 2)), 1, 4),
        (np.full((2, 3), np.nan), 1, 4),
        (np.zeros((2, 3)), 0, 4),
        (np.zeros((2, 3)), 1, 0),
    ):
        with pytest.raises(ValueError, match=r"points must be|radius must be"):
            radius_graph(points, radius, width, rng)
