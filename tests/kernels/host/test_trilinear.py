"""Trilinear tables against one point at a time in exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest

from kernels.host.voxel.hash_map import build_hash
from kernels.host.voxel.morton import morton_order
from kernels.host.voxel.trilinear import trilinear_table


def table_of_fractions(points, cells, level):
    rows = {tuple(cell): row for row, cell in enumerate(cells.tolist())}
    corners, weights = [], []
    for point in points.tolist():
        scaled = [Fraction(value) / 2**level for value in point]
        base = [math.floor(value) for value in scaled]
        inside = [value - floor for value, floor in zip(scaled, base)]
        row, raw = [], []
        for k in range(8):
            bits = (k >> 2, k >> 1 & 1, k & 1)
            row.append(rows.get(tuple(b + bit for b, bit in zip(base, bits)), -1))
            weight = math.prod(part if bit else 1 - part for part, bit in zip(inside, bits))
            raw.append(weight if row[-1] >= 0 else Fraction(0))
        corners.append(row)
        weights.append([float(weight / (sum(raw) + Fraction(1e-8))) for weight in raw])
    return np.array(corners), np.array(weights)


def cells_and_points(seed, level, offset):
    rng = np.random.default_rng(seed)
    cells = np.unique(rng.integers(-4, 4, (150, 3)), axis=0) + offset
    points = (rng.uniform(-6, 6, (200, 3)) + offset) * 2.0**level
    points[:40] = np.round(points[:40])
    points[40] = (cells[0] + 0.25) * 2.0**level
    return cells[rng.permutation(len(cells))], points


@pytest.mark.parametrize("level", [0, 1, 5])
@pytest.mark.parametrize("offset", [0, -1000, 2**40])
def test_against_fractions(level, offset):
    cells, points = cells_and_points(level, level, offset)
    corners, weights = trilinear_table(points, cells, level, dtype=np.float64)
    expected_corners, expected_weights = table_of_fractions(points, cells, level)
    assert (corners.dtype, weights.dtype) == (np.int32, np.float64)
    np.testing.assert_array_equal(corners, expected_corners)
    np.testing.assert_allclose(weights, expected_weights, rtol=0, atol=2e-15)
    assert 0 < np.count_nonzero(corners < 0) < corners.size


def test_float32_points_and_weights():
    cells, points = cells_and_points(9, 1, -20)
    points = points.astype(np.float32)
    corners, weights = trilinear_table(points, cells, 1)
    expected_corners, expected_weights = table_of_fractions(points, cells, 1)
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(corners, expected_corners)
    np.testing.assert_array_equal(weights, expected_weights.astype(np.float32))


def test_weights_sum_to_one_over_the_voxels_that_exist():
    cells, points = cells_and_points(3, 0, 0)
    corners, weights = trilinear_table(points, cells, 0, dtype=np.float64)
    assert np.all(weights[corners < 0] == 0)
    inside = points - np.floor(points)
    bits = np.array([[k >> 2, k >> 1 & 1, k & 1] for k in range(8)])
    covered = (np.prod(np.where(bits, inside[:, None], 1 - inside[:, None]), -1) * (corners >= 0)).sum(1)
    np.testing.assert_allclose(weights.sum(1), covered / (covered + 1e-8), atol=1e-12)
    assert np.any(covered == 0), "a point without voxels belongs to the cases"


def test_a_linear_field_is_reproduced_where_all_corners_exist():
    cells = np.argwhere(np.ones((4, 4, 4))) - 2
    points = np.random.default_rng(5).uniform(-2, 1, (50, 3)) * 4
    corners, weights = trilinear_table(points, cells, 2, dtype=np.float64)
    field = cells @ [3.0, -5.0, 0.5]
    np.testing.assert_allclose((weights * field[corners]).sum(1), points / 4 @ [3.0, -5.0, 0.5], atol=1e-6)


def test_a_given_hash_and_permuted_points_change_nothing():
    cells, points = cells_and_points(6, 0, 7)
    corners, weights = trilinear_table(points, cells, 0)
    again = trilinear_table(points, cells, 0, build_hash(cells))
    np.testing.assert_array_equal(again[0], corners)
    np.testing.assert_array_equal(again[1], weights)
    order = np.random.default_rng(7).permutation(len(points))
    moved = trilinear_table(points[order], cells, 0)
    np.testing.assert_array_equal(moved[0], corners[order])
    np.testing.assert_array_equal(moved[1], weights[order])
    by_morton = morton_order(cells)
    renamed = np.append(np.argsort(by_morton), -1)
    np.testing.assert_array_equal(trilinear_table(points, cells[by_morton], 0)[0], renamed[corners])


def test_no_points_and_no_voxels():
    no_points = trilinear_table(np.zeros((0, 3)), np.array([[0, 0, 0]]), 0)
    assert [array.shape for array in no_points] == [(0, 8), (0, 8)]
    corners, weights = trilinear_table(np.array([[0.5, -1.0, 0.0]]), np.zeros((0, 3), np.int32), 0)
    assert corners.tolist() == [[-1] * 8]
    assert weights.tolist() == [[0] * 8]


def test_wrong_arguments_are_named():
    cell = np.array([[0, 0, 0]])
    points = np.zeros((3, 3))
    points[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"point 1 .*nan"):
        trilinear_table(points, cell, 0)
    points[1, 2] = 1e19
    with pytest.raises(ValueError, match=r"point 1 .*1e\+19"):
        trilinear_table(points, cell, 0)
    with pytest.raises(ValueError, match=r"level must be in 0\.\.31, got -1"):
        trilinear_table(np.zeros((1, 3)), cell, -1)
    with pytest.raises(ValueError, match="not int32"):
        trilinear_table(np.zeros((1, 3)), cell, 0, dtype=np.int32)
    with pytest.raises(TypeError, match="int64"):
        trilinear_table(np.zeros((1, 3), np.int64), cell, 0)
    with pytest.raises(ValueError, match=r"got \(2, 4\)"):
        trilinear_table(np.zeros((2, 4)), cell, 0)
    with pytest.raises(ValueError, match="holds 1 voxels, coords 2"):
        trilinear_table(np.zeros((1, 3)), np.array([[0, 0, 0], [1, 0, 0]]), 0, build_hash(cell))
