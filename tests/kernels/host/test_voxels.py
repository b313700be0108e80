"""Voxel tables against dictionaries of Python integers."""

import numpy as np
import pytest

from kernels.host.voxel import hash_map
from kernels.host.voxel.hash_map import build_hash, lookup, neighbour_table
from kernels.host.voxel.morton import morton_codes, morton_order
from kernels.host.voxel.voxels import build_pyramid, downsample, unique_voxels

OFFSETS = [(0, 0, 0), (-7, -3, -100), (2**40, -(2**40), 5), (-(2**63), 2**63 - 200, 0)]


def blob(seed, count=400, scale=4.0):
    """Distinct cells around zero, in Morton order: dense in the middle, isolated outside."""
    cells = np.unique(np.floor(np.random.default_rng(seed).normal(0, scale, (count, 3))).astype(np.int64), axis=0)
    return cells[morton_order(cells)]


def shifted(cells, offset):
    """The cells moved so that their smallest coordinates are the offset."""
    return cells - cells.min(0) + np.array(offset, np.int64)


def rows_of(cells):
    return {tuple(cell): row for row, cell in enumerate(cells.tolist())}


def neighbours_by_dict(cells):
    rows = rows_of(cells)
    offsets = [(x, y, z) for z in (-1, 0, 1) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return [[rows.get((x + i, y + j, z + k), -1) for i, j, k in offsets] for x, y, z in cells.tolist()]


@pytest.mark.parametrize("offset", OFFSETS)
def test_lookup_finds_the_cells_and_nothing_else(offset):
    cells = shifted(blob(0), offset)
    table = build_hash(cells)
    assert lookup(table, cells).tolist() == list(range(len(cells)))
    rows = rows_of(cells)
    low, high = cells.min(0), cells.max(0)
    around = np.random.default_rng(1).integers(
        np.maximum(low, -(2**63) + 3) - 3, np.minimum(high, 2**63 - 4) + 3, (500, 3)
    )
    far = np.array([[2**63 - 1] * 3, [-(2**63)] * 3, [0, 0, 2**62], [0, 0, 0]], np.int64)
    wanted = np.concatenate([around, far, np.add(cells[:3], [2**32, 0, 0])])
    assert lookup(table, wanted).tolist() == [rows.get(tuple(cell), -1) for cell in wanted.tolist()]


def test_lookup_octants_is_eight_lookups():
    cells = shifted(blob(2), (-5, 2**40, 9))
    table = build_hash(cells)
    bases = np.concatenate(
        [cells, cells - 1, np.add(cells.min(0), [[-1] * 3, [-2, 0, 0]]), np.add(cells.max(0), [[0] * 3, [0, 0, 1]])]
    )
    bases = np.concatenate([bases, [[2**63 - 1] * 3, [-(2**63)] * 3]])
    found = hash_map.lookup_octants(table, bases)
    rows = rows_of(cells)
    for k in range(8):
        corner = [(x + (k >> 2), y + (k >> 1 & 1), z + (k & 1)) for x, y, z in bases.tolist()]
        assert found[:, k].tolist() == [rows.get(cell, -1) for cell in corner]


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("in_order", [True, False])
def test_neighbours(offset, in_order):
    cells = shifted(blob(3), offset)
    if not in_order:
        cells = cells[np.random.default_rng(4).permutation(len(cells))]
    table = neighbour_table(cells)
    assert table.dtype == np.int32
    assert table.tolist() == neighbours_by_dict(cells)
    assert table.tolist() == neighbour_table(cells, build_hash(cells)).tolist()


def test_mirror_column_leads_back():
    table = neighbour_table(blob(5, 2000, 6.0))
    rows, columns = np.nonzero(table >= 0)
    np.testing.assert_array_equal(table[table[rows, columns], 26 - columns], rows)


def test_neighbours_follow_a_permutation_of_the_rows():
    cells = blob(6)
    order = np.random.default_rng(7).permutation(len(cells))
    new_row = np.argsort(order)
    expected = np.where(neighbour_table(cells) >= 0, new_row[neighbour_table(cells)], -1)[order]
    np.testing.assert_array_equal(neighbour_table(cells[order]), expected)


def test_thin_and_flat_sets_do_not_wrap_around():
    line = np.array([[0, 0, z] for z in range(9)] + [[0, 1, z] for z in range(9)])
    for axis in range(3):
        cells = np.roll(line, axis, axis=1)
        assert neighbour_table(cells).tolist() == neighbours_by_dict(cells)
    checkerboard = np.argwhere(np.indices((5, 5, 5)).sum(0) % 2 == 0)
    assert neighbour_table(checkerboard).tolist() == neighbours_by_dict(checkerboard)
    assert np.count_nonzero(neighbour_table(2 * checkerboard) >= 0) == len(checkerboard)


def test_widest_extent():
    widest = hash_map.MAX_EXTENT
    ends = np.array([[0, 0, 0], [widest - 1] * 3, [0, widest - 1, 0]])
    assert neighbour_table(ends - 2**40).tolist() == neighbours_by_dict(ends)
    with pytest.raises(ValueError, match=rf"axis y spans {widest + 1} cells \(from 0 to {widest}\).*{widest}"):
        build_hash(np.array([[0, 0, 0], [0, widest, 0]]))
    with pytest.raises(ValueError, match="axis x spans 18446744073709551616 cells"):
        build_hash(np.array([[-(2**63), 0, 0], [2**63 - 1, 0, 0]]))


def test_one_cell_and_none():
    table = neighbour_table(np.array([[-4, 9, 2**50]]))
    assert np.argwhere(table >= 0).tolist() == [[0, 13]]
    assert neighbour_table(np.zeros((0, 3), np.int32)).shape == (0, 27)
    assert lookup(build_hash(np.zeros((0, 3), np.int32)), np.array([[0, 0, 0], [-1, -1, -1]])).tolist() == [-1, -1]


def test_repeated_cells_and_foreign_hashes_are_named():
    cells = np.array([[1, 2, 3], [4, 5, 6], [1, 2, 3]])
    with pytest.raises(ValueError, match=r"rows 0 and 2 hold the same cell \(1, 2, 3\)"):
        neighbour_table(cells)
    with pytest.raises(ValueError, match=r"rows 0 and 2 hold the same cell \(1, 2, 3\)"):
        downsample(cells)
    with pytest.raises(ValueError, match="holds 1 cells, coords 2"):
        neighbour_table(cells[:2], build_hash(cells[:1]))
    with pytest.raises(ValueError, match=r"cell \(1, 2, 3\) in row 1, not 0"):
        neighbour_table(cells[:2], build_hash(cells[1::-1].copy()))
    good = build_hash(cells[:2])
    for bad in (
        good._replace(keys=good.keys[:-1]),
        good._replace(rows=np.zeros_like(good.rows)),
        good._replace(origin=good.origin[:2]),
    ):
        with pytest.raises(ValueError, match="not a hash of cells"):
            lookup(bad, cells)


@pytest.mark.parametrize("offset", [0.0, -1000.5, 1e6, -(2.0**30)])
def test_unique_voxels_is_numpys_unique_in_morton_order(offset):
    points = np.random.default_rng(8).normal(offset, 3.0, (500, 3))
    voxels = unique_voxels(points)
    cells = np.floor(points).astype(np.int64)
    coords, first, inverse = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    order = morton_order(coords)
    assert [array.dtype for array in voxels] == [np.int32] * 3
    np.testing.assert_array_equal(voxels.coords, coords[order])
    np.testing.assert_array_equal(voxels.first, first[order])
    np.testing.assert_array_equal(voxels.coords[voxels.inverse], cells)
    np.testing.assert_array_equal(order[voxels.inverse], inverse.ravel())


def test_voxels_floor_and_do_not_truncate():
    points = np.array([[-0.5, -1.0, 0.0], [-1e-12, 0.999, 1.0], [-0.0, 0.0, -3.5]])
    voxels = unique_voxels(points)
    assert voxels.coords[voxels.inverse].tolist() == [[-1, -1, 0], [-1, 0, 1], [0, 0, -4]]


def test_voxels_do_not_depend_on_the_order_of_the_points():
    points = np.random.default_rng(9).normal(0, 3, (300, 3))
    order = np.random.default_rng(10).permutation(300)
    one, other = unique_voxels(points), unique_voxels(points[order])
    np.testing.assert_array_equal(one.coords, other.coords)
    np.testing.assert_array_equal(one.inverse[order], other.inverse)


def test_points_that_have_no_voxel_are_named():
    points = np.zeros((4, 3))
    for value in (np.nan, np.inf, 2.0**31, -(2.0**31) - 1):
        points[2, 1] = value
        with pytest.raises(ValueError, match=r"point 2 .*\(0.0, "):
            unique_voxels(points)
    points[2, 1] = 2.0**22
    with pytest.raises(ValueError, match="axis y spans 4194305"):
        unique_voxels(points)
    with pytest.raises(TypeError, match="float32"):
        unique_voxels(points.astype(np.float32))
    with pytest.raises(ValueError, match=r"got \(3,\)"):
        unique_voxels(points[0])
    assert unique_voxels(np.array([[2.0**31 - 1, -(2.0**31), 0]])).coords.tolist() == [[2**31 - 1, -(2**31), 0]]
    assert [len(array) for array in unique_voxels(np.zeros((0, 3)))] == [0, 0, 0]


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("offset", [0, -33, 2**31 - 200])
def test_downsample(offset, in_order):
    cells = shifted(blob(11), (offset, -offset, offset))
    if not in_order:
        cells = cells[np.random.default_rng(12).permutation(len(cells))]
    coarse, children, slots = downsample(cells)
    assert [array.dtype for array in (coarse, children, slots)] == [np.int32] * 3
    assert sorted(map(tuple, coarse.tolist())) == sorted({(x >> 1, y >> 1, z >> 1) for x, y, z in cells.tolist()})
    assert np.all(np.diff(morton_codes(coarse)) > 0)
    parents, rows = rows_of(coarse), rows_of(cells)
    for (x, y, z), slot in zip(cells.tolist(), slots.tolist()):
        assert slot == 8 * parents[x >> 1, y >> 1, z >> 1] + 4 * (x & 1) + 2 * (y & 1) + (z & 1)
    for (x, y, z), row in zip(coarse.tolist(), children.tolist()):
        assert row == [rows.get((2 * x + (k >> 2), 2 * y + (k >> 1 & 1), 2 * z + (k & 1)), -1) for k in range(8)]


def test_pyramid_is_made_of_its_levels():
    cells = shifted(blob(13, 900, 30.0), (-90, 17, 300)).astype(np.int32)
    cells = cells[morton_order(cells)]
    pyramid = build_pyramid(cells, levels=7)
    assert [len(field) for field in pyramid] == [7, 7, 6, 6]
    for level, coords in enumerate(pyramid.coords):
        assert coords.dtype == np.int32
        assert set(map(tuple, coords.tolist())) == set(map(tuple, (cells >> level).tolist()))
        np.testing.assert_array_equal(pyramid.neighbours[level], neighbour_table(coords))
    for fine, coarse, children, slots in zip(pyramid.coords, pyramid.coords[1:], pyramid.children, pyramid.slots):
        np.testing.assert_array_equal(coarse[slots >> 3], fine >> 1)
        np.testing.assert_array_equal(children.ravel()[slots], np.arange(len(fine)))
        assert np.count_nonzero(children >= 0) == len(fine)
        assert np.all(np.diff(slots) > 0), "in Morton order the children of a voxel are consecutive"


def test_pyramid_of_one_voxel_and_of_none():
    one = build_pyramid(np.array([[-3, 0, 70]]), levels=7)
    assert [coords.tolist() for coords in one.coords[:3]] == [[[-3, 0, 70]], [[-2, 0, 35]], [[-1, 0, 17]]]
    assert [slots.tolist() for slots in one.slots[:3]] == [[4], [1], [5]]
    none = build_pyramid(np.zeros((0, 3), np.int32), levels=2)
    assert [none.neighbours[1].shape, none.children[0].shape, none.slots[0].shape] == [(0, 27), (0, 8), (0,)]
    with pytest.raises(ValueError, match="at least 1 level, got 0"):
        build_pyramid(np.zeros((1, 3), np.int32), levels=0)
    with pytest.raises(ValueError, match="2147483648, beyond int32"):
        build_pyramid(np.array([[0, 0, 2**31]]))
