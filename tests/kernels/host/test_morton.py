"""Morton order against codes made bit by bit from Python integers."""

import numpy as np
import pytest

from kernels.host.voxel.morton import argsort_codes, box, morton_codes, morton_order


def code_bit_by_bit(cell, origin):
    x, y, z = (int(c) - int(o) for c, o in zip(cell, origin))
    return sum((x >> b & 1) << 3 * b + 2 | (y >> b & 1) << 3 * b + 1 | (z >> b & 1) << 3 * b for b in range(21))


@pytest.mark.parametrize("offset", [0, -37, 2**40, -(2**40) + 5, -(2**63), 2**63 - 400])
def test_order_is_that_of_the_bitwise_codes(offset):
    rng = np.random.default_rng(0)
    coords = rng.integers(0, 300, (200, 3)) + np.int64(offset)
    origin = coords.min(0) & -(2**20)
    expected = sorted(range(200), key=lambda row: (code_bit_by_bit(coords[row], origin), row))
    order = morton_order(coords)
    assert order.dtype == np.int64
    assert order.tolist() == expected


def test_octants_of_one_parent_come_z_fastest():
    octants = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.int32)
    assert morton_codes(octants).tolist() == list(range(8))
    assert morton_order(octants[::-1]).tolist() == list(range(7, -1, -1))


def test_equal_cells_keep_their_order():
    coords = np.array([[5, 5, 5], [1, 1, 1], [5, 5, 5], [1, 1, 1], [5, 5, 5]], np.int16)
    assert morton_order(coords).tolist() == [1, 3, 0, 2, 4]


@pytest.mark.parametrize("low", [-1000, -64, 0, 12345])
def test_halving_keeps_the_order(low):
    coords = np.random.default_rng(1).integers(low, low + 2000, (3000, 3))
    coords = coords[morton_order(coords)]
    for _ in range(6):
        coords = coords >> 1
        assert np.all(np.diff(morton_codes(coords)) >= 0)


def test_full_extent_and_one_cell_more():
    wide = 2**21 - 1
    for low in (0, -5, 7):
        assert morton_order(np.array([[low + wide, 0, 0], [low, 0, 0]])).tolist() == [1, 0]
        with pytest.raises(ValueError, match=r"axis y spans 2097153 cells.*2097152"):
            morton_order(np.array([[0, low + wide + 1, 0], [0, low, 0]]))
    with pytest.raises(ValueError, match="axis z spans 18446744073709551616 cells"):
        morton_order(np.array([[0, 0, -(2**63)], [0, 0, 2**63 - 1]]))


def test_argsort_is_numpys_stable_one():
    rng = np.random.default_rng(2)
    for top in (1, 2, 5000, 2**40, 2**63 - 1):
        codes = rng.integers(0, top, 1000)
        before = codes.copy()
        np.testing.assert_array_equal(argsort_codes(codes), np.argsort(codes, kind="stable"))
        np.testing.assert_array_equal(codes, before)
    assert argsort_codes(np.arange(5)).tolist() == list(range(5))


def test_no_cells_and_one_cell():
    assert morton_order(np.zeros((0, 3), np.int32)).shape == (0,)
    assert morton_order(np.array([[-7, 3, 2]])).tolist() == [0]
    with pytest.raises(ValueError, match="no cells"):
        box(np.zeros((0, 3), np.int64))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"\[N, 3\], got \(4, 2\)"):
        morton_order(np.zeros((4, 2), np.int32))
    with pytest.raises(TypeError, match="float64"):
        morton_order(np.zeros((4, 3)))
    with pytest.raises(TypeError, match="uint64"):
        morton_order(np.zeros((4, 3), np.uint64))
