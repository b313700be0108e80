"""Welding against numpy.unique."""

import numpy as np
import pytest

from preprocess.mesh.weld import weld


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_equals_unique_rows(count):
    rng = np.random.default_rng(count)
    vertices = rng.integers(-3, 4, (count, 3)) * 0.1
    welded = weld(vertices)
    np.testing.assert_array_equal(vertices[welded.first][welded.inverse], vertices)
    assert len(welded.first) == len(np.unique(vertices, axis=0))
    assert (np.diff(welded.first) > 0).all()
    for row in range(len(welded.first)):
        assert np.flatnonzero(welded.inverse == row)[0] == welded.first[row]


def test_zero_has_no_sign_and_neighbours_stay_apart():
    vertices = np.array([[0.0, 1, 2], [-0.0, 1, 2], [np.nextafter(0, 1), 1, 2], [0, 1, np.nextafter(2, 3)]])
    np.testing.assert_array_equal(weld(vertices).inverse, [0, 0, 1, 2])


def test_no_vertices():
    assert len(weld(np.zeros((0, 3))).first) == 0


def test_shape_is_checked():
    with pytest.raises(ValueError, match=r"\[V, 3\], not \[4, 2\]"):
        weld(np.zeros((4, 2)))
