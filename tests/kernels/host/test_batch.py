"""Joined tables against loops over scenes and entries, with little and with more padding."""

import functools

import numpy as np
import pytest

from kernels.host.batch.padding import (
    argsort_rows,
    join_children,
    join_corners,
    join_neighbours,
    join_rings,
    join_slots,
    join_traces,
    pad_rows,
)
from kernels.host.mesh.rings import edge_targets_sources, ring_table, rings_from_edges
from kernels.host.voxel.trilinear import trilinear_table
from kernels.host.voxel.voxels import build_pyramid, unique_voxels

WIDTH = 3


@functools.cache
def make_scenes():
    """Small scenes with real tables (two voxel levels, corners, rings with overflow, traces), one of them empty."""
    scenes = []
    for seed, count in enumerate([30, 1, 0, 45]):
        rng = np.random.default_rng(seed)
        points = rng.normal(0, 2, (count, 3))
        pyramid = build_pyramid(unique_voxels(points).coords, levels=2)
        corners, weights = trilinear_table(points, pyramid.coords[0], 0)
        ends = rng.integers(0, max(count, 1), (2, 2 * count)).astype(np.int32)
        rings = ring_table(rings_from_edges(*ends, count), WIDTH)
        num_coarse = count // 3 + 1
        scenes.append(
            {
                "neighbours": pyramid.neighbours[0],
                "children": pyramid.children[0],
                "slots": pyramid.slots[0],
                "corners": corners,
                "weights": weights,
                "rings": rings,
                "trace": rng.integers(0, num_coarse, count).astype(np.int32),
                "fine": len(pyramid.coords[0]),
                "coarse": len(pyramid.coords[1]),
                "vertices": count,
                "coarse_vertices": num_coarse,
            }
        )
    return scenes


def column(name):
    return [scene[name] for scene in make_scenes()]


def total(name):
    return sum(column(name))


def joined_by_loop(tables, counts, absent):
    """Rows of all tables with each scene's indices moved behind those of the scenes before it."""
    rows, start = [], 0
    for table, count in zip(tables, counts):
        rows += [[absent if entry < 0 else entry + start for entry in row] for row in table.tolist()]
        start += count
    return rows


@pytest.fixture(params=[1, 9], ids=["one spare row", "nine spare rows"])
def spare(request):
    return request.param


def test_pad_rows_keeps_rows_dtype_and_fill():
    arrays = [np.arange(6, dtype=np.int16).reshape(2, 3), np.zeros((0, 3), np.int16), np.full((1, 3), 7, np.int16)]
    padded = pad_rows(arrays, 5, fill=-1)
    assert padded.dtype == np.int16
    assert padded.tolist() == [[0, 1, 2], [3, 4, 5], [7, 7, 7], [-1, -1, -1], [-1, -1, -1]]
    with pytest.raises(ValueError, match="3 scenes need 3 \\+ 1 rows, but only 3 are given"):
        pad_rows(arrays, 3)
    with pytest.raises(ValueError, match="differ in dtype or row shape"):
        pad_rows([arrays[0], arrays[1].astype(np.int32)], 9)
    with pytest.raises(ValueError, match="no arrays"):
        pad_rows([], 9)


def test_neighbours(spare):
    real = total("fine")
    table = join_neighbours(column("neighbours"), real + spare)
    assert table.dtype == np.int32
    assert table[:real].tolist() == joined_by_loop(column("neighbours"), column("fine"), real + spare - 1)
    assert np.all(table[real:] == real + spare - 1)


def test_children_and_slots(spare):
    fine, coarse = total("fine"), total("coarse")
    fine_rows, coarse_rows = fine + spare, coarse + 2 * spare
    children = join_children(column("children"), column("fine"), fine_rows, coarse_rows)
    slots = join_slots(column("slots"), column("coarse"), fine_rows, coarse_rows)
    assert children[:coarse].tolist() == joined_by_loop(column("children"), column("fine"), fine_rows - 1)
    assert np.all(children[coarse:] == fine_rows - 1)
    np.testing.assert_array_equal(children.ravel()[slots[:fine]], np.arange(fine))
    assert slots[fine:].tolist() == [(coarse_rows - 1) * 8] * spare


def test_corners(spare):
    vertices, voxels = total("vertices"), total("fine")
    vertex_rows, voxel_rows = vertices + spare, voxels + spare
    weights = [weight + (corner < 0) for weight, corner in zip(column("weights"), column("corners"))]
    table = join_corners(column("corners"), weights, column("fine"), vertex_rows, voxel_rows)
    assert table.corners[:vertices].tolist() == joined_by_loop(column("corners"), column("fine"), voxel_rows - 1)
    assert np.all(table.corners[vertices:] == voxel_rows - 1)
    absent = table.corners == voxel_rows - 1
    assert table.weights.dtype == np.float32
    np.testing.assert_array_equal(table.weights[:vertices], np.concatenate(column("weights")))
    assert np.all(table.weights[absent] == 0)
    assert [array.dtype for array in (table.order, table.sorted_corners)] == [np.int32, np.int32]
    np.testing.assert_array_equal(table.order, np.argsort(table.corners.ravel(), kind="stable"))
    np.testing.assert_array_equal(table.sorted_corners, np.sort(table.corners.ravel()))


def test_traces(spare):
    fine, coarse = total("vertices"), total("coarse_vertices")
    table = join_traces(column("trace"), column("coarse_vertices"), fine + spare, coarse + spare)
    by_loop = joined_by_loop([trace[:, None] for trace in column("trace")], column("coarse_vertices"), -1)
    assert table.trace[:fine, None].tolist() == by_loop
    assert np.all(table.trace[fine:] == coarse + spare - 1)
    np.testing.assert_array_equal(table.order, np.argsort(table.trace, kind="stable"))
    np.testing.assert_array_equal(table.sorted_trace, table.trace[table.order])


def test_rings(spare):
    tables, vertices = column("rings"), total("vertices")
    entries = sum(len(table.overflow_target) for table in tables)
    assert entries > 0
    vertex_rows, overflow_rows = vertices + spare, entries + spare - 1
    joined = join_rings(tables, vertex_rows, overflow_rows)
    assert [len(array) for array in joined] == [vertex_rows, vertex_rows, *[overflow_rows] * 3, vertex_rows]
    last = vertex_rows - 1

    target, source, valid = edge_targets_sources(joined)
    reverse = np.concatenate([joined.reverse.ravel(), joined.overflow_reverse])
    expected, start = [], 0
    for table, count in zip(tables, column("vertices")):
        ends = edge_targets_sources(table)
        expected += [(t + start, s + start) for t, s, real in zip(*map(np.ndarray.tolist, ends)) if real]
        start += count
    edges = np.flatnonzero(valid)
    assert sorted(zip(target[edges].tolist(), source[edges].tolist())) == sorted(expected)
    np.testing.assert_array_equal(target[reverse[edges]], source[edges])
    np.testing.assert_array_equal(source[reverse[edges]], target[edges])
    np.testing.assert_array_equal(reverse[reverse[edges]], edges)

    assert np.all(source[~valid] == last)
    assert np.all(reverse[~valid] == last * WIDTH)
    assert not valid[last * WIDTH], "absent edges lead to a slot that is absent itself"
    assert np.all(np.diff(joined.overflow_target) >= 0)
    assert np.all(joined.overflow_target[entries:] == last)
    assert joined.degree.tolist() == [*np.concatenate([t.degree for t in tables]).tolist(), *[0] * spare]


def test_no_scenes_and_scenes_of_nothing():
    assert join_neighbours([], 2).tolist() == [[1] * 27] * 2
    assert join_traces([], [], 2, 3).trace.tolist() == [2, 2]
    empty = make_scenes()[2]["rings"]
    joined = join_rings([empty], 2, 0)
    assert joined.ring.tolist() == [[1] * WIDTH] * 2
    assert joined.overflow_reverse.shape == (0,)


def test_rows_that_do_not_suffice_are_named():
    fine, coarse, vertices = total("fine"), total("coarse"), total("vertices")
    with pytest.raises(ValueError, match=rf"4 scenes need {fine} \+ 1 voxel rows, but only {fine} are given"):
        join_neighbours(column("neighbours"), fine)
    for rows in [(fine, coarse + 1), (fine + 1, coarse)]:
        with pytest.raises(ValueError, match=r"\+ 1 (finer|coarser) voxel rows"):
            join_children(column("children"), column("fine"), *rows)
        with pytest.raises(ValueError, match=r"\+ 1 (finer|coarser) voxel rows"):
            join_slots(column("slots"), column("coarse"), *rows)
    for rows in [(vertices, fine + 1), (vertices + 1, fine)]:
        with pytest.raises(ValueError, match=r"\+ 1 (vertex|voxel) rows"):
            join_corners(column("corners"), column("weights"), column("fine"), *rows)
    for rows in [(vertices, 999), (vertices + 1, total("coarse_vertices"))]:
        with pytest.raises(ValueError, match=r"\+ 1 (finer|coarser) vertex rows"):
            join_traces(column("trace"), column("coarse_vertices"), *rows)
    with pytest.raises(ValueError, match=rf"need {vertices} \+ 1 vertex rows"):
        join_rings(column("rings"), vertices, 999)
    entries = sum(len(table.overflow_target) for table in column("rings"))
    with pytest.raises(ValueError, match=rf"need {entries} overflow rows, but only {entries - 1}"):
        join_rings(column("rings"), vertices + 1, entries - 1)


def test_entries_outside_their_scene_are_named():
    table = np.full((2, 27), -1, np.int32)
    table[1, 4] = 2
    with pytest.raises(ValueError, match="scene 1, row 1: entry 2 is outside the 2 of the scene"):
        join_neighbours([np.zeros((1, 27), np.int32), table], 9)
    with pytest.raises(ValueError, match="scene 0, row 2: entry -1 is outside the 5"):
        join_traces([np.array([4, 0, -1], np.int32)], [5], 4, 6)
    with pytest.raises(ValueError, match="scene 0, row 0: entry -2 is outside"):
        join_children([np.full((1, 8), -2, np.int32)], [4], 5, 2)
    rings = make_scenes()[0]["rings"]
    reverse = rings.reverse.copy()
    reverse[3, 0] = limit = rings.ring.size + len(rings.overflow_target)
    with pytest.raises(ValueError, match=f"scene 0, row 3: entry {limit} is outside the {limit}"):
        join_rings([rings._replace(reverse=reverse)], 99, 99)


def test_tables_that_do_not_fit_together_are_named():
    rings = make_scenes()[0]["rings"]
    with pytest.raises(ValueError, match=r"one width, got \[3, 4\]"):
        join_rings([rings, ring_table(rings_from_edges(np.array([0]), np.array([1]), 2), 4)], 99, 99)
    with pytest.raises(ValueError, match="scene 0: rings of 30 vertices"):
        join_rings([rings._replace(overflow_source=rings.overflow_source[1:])], 99, 99)
    with pytest.raises(ValueError, match=r"scene 0: rows must be int32 \(27,\), got int64 \(27,\)"):
        join_neighbours([np.zeros((1, 27), np.int64)], 9)
    with pytest.raises(ValueError, match="1 tables, but counts of 2 scenes"):
        join_slots([np.zeros(1, np.int32)], [1, 1], 9, 9)
    with pytest.raises(ValueError, match=r"corners of \[30\] vertices, weights of \[1\]"):
        join_corners([make_scenes()[0]["corners"]], [make_scenes()[1]["weights"]], [30], 99, 99)
    with pytest.raises(ValueError, match="exceed int32"):
        join_slots([np.zeros(1, np.int32)], [1], 2, 2**29)


def test_counting_argsort():
    keys = np.random.default_rng(0).integers(0, 50, 1000).astype(np.int32)
    order, sorted_keys = argsort_rows(keys, 60)
    np.testing.assert_array_equal(order, np.argsort(keys, kind="stable"))
    np.testing.assert_array_equal(sorted_keys, keys[order])
    with pytest.raises(ValueError, match=r"entry 2 points at row 5 of 5"):
        argsort_rows(np.array([0, 4, 5], np.int32), 5)
    with pytest.raises(ValueError, match=r"entry 0 points at row -1 of 5"):
        argsort_rows(np.array([-1], np.int32), 5)
