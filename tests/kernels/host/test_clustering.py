"""Vertex clustering against a plain dictionary of cells, and what holds for any mesh."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kernels.host.mesh.clustering import CoarseMesh, cluster_vertices
from kernels.host.voxel.morton import morton_order


def _height_field(side, seed, offset=0.0, scale=1.0):
    """A noisy sheet, side x side vertices over the unit square times scale, with some vertices without faces."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1).reshape(-1, 2) / (side - 1)
    vertices = np.column_stack([grid, 0.1 * np.sin(7 * grid[:, 0]) + 0.02 * rng.normal(size=len(grid))])
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + side, corner + side + 1], axis=1),
            np.stack([corner, corner + side + 1, corner + 1], axis=1),
        ]
    )
    loose = rng.uniform(-0.3, 1.3, size=(20, 3))
    order = rng.permutation(len(vertices) + len(loose))
    rank = np.argsort(order)
    mixed = np.concatenate([vertices, loose])[order] * scale + offset
    return mixed, rank[faces].astype(np.int32)


def _cells(vertices, faces, cell_size):
    """Cell of each vertex, the slow way."""
    used = vertices[np.unique(faces)] if len(faces) else vertices
    origin = used.min(axis=0) - cell_size
    extent = used.max(axis=0) + cell_size - origin
    return np.floor((vertices - origin) / (extent / np.floor(extent / cell_size + 1e-9))).astype(np.int64)


def _assert_coarse_mesh(coarse: CoarseMesh, num_vertices):
    assert coarse.vertices.dtype == np.float64
    assert coarse.faces.dtype == coarse.trace.dtype == np.int32
    assert coarse.trace.shape == (num_vertices,)
    np.testing.assert_array_equal(np.unique(coarse.trace), np.arange(len(coarse.vertices)))
    a, b, c = coarse.faces.T
    assert not ((a == b) | (b == c) | (c == a)).any()
    assert len(np.unique(np.sort(coarse.faces, axis=1), axis=0)) == len(coarse.faces)


@pytest.mark.parametrize("offset", [0.0, -17.3, 1e6])
@pytest.mark.parametrize("cell_size", [0.03, 0.11, 5.0])
def test_against_a_dictionary_of_cells(offset, cell_size):
    vertices, faces = _height_field(40, 1, offset)
    coarse = cluster_vertices(vertices, faces, cell_size)
    _assert_coarse_mesh(coarse, len(vertices))

    cells = _cells(vertices, faces, cell_size)
    members = {}
    for v, cell in enumerate(map(tuple, cells.tolist())):
        members.setdefault(cell, []).append(v)
    weights = np.maximum(np.bincount(faces.ravel(), minlength=len(vertices)), 1)
    assert len(coarse.vertices) == len(members)
    for group in members.values():
        (number,) = set(coarse.trace[group].tolist())
        mean = offset + np.average(vertices[group] - offset, axis=0, weights=weights[group])
        np.testing.assert_allclose(coarse.vertices[number], mean, rtol=4e-16, atol=1e-14)

    expected = {tuple(sorted(face)) for face in coarse.trace[faces].tolist() if len(set(face)) == 3}
    assert {tuple(sorted(face)) for face in coarse.faces.tolist()} == expected


def test_vertices_are_in_morton_order_of_their_cells():
    vertices, faces = _height_field(40, 2)
    coarse = cluster_vertices(vertices, faces, 0.07)
    cells = np.zeros((len(coarse.vertices), 3), np.int64)
    cells[coarse.trace] = _cells(vertices, faces, 0.07)
    np.testing.assert_array_equal(morton_order(cells - cells.min(axis=0)), np.arange(len(cells)))


def test_a_whole_number_of_stretched_cells():
    # An extent of 1.05 and one cell of 0.1 on both sides make 12.5 cells: 12 of 0.104166.
    vertices = np.array([[0, 0, 0], [1.05, 0, 0], [0, 1.05, 0], [0.1, 0, 0], [0.2, 0, 0]])
    trace = cluster_vertices(vertices, np.array([[0, 1, 2], [0, 3, 2], [4, 1, 2]]), 0.1).trace
    assert trace[3] != trace[0]
    assert len(set(trace.tolist())) == 5
    # A unit extent makes 12 cells of 0.1; the three vertices below 0.1 share one.
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.05, 0, 0], [0.0999, 0, 0]])
    trace = cluster_vertices(vertices, np.array([[0, 1, 2], [0, 3, 2], [4, 1, 2]]), 0.1).trace
    assert trace[0] == trace[3] == trace[4]


def test_the_mean_weighs_face_corners():
    # Vertices 0 and 1 share a cell with 3 and 1 corners, vertex 5 in the same cell has none and counts once.
    vertices = np.array([[0.0, 0, 0], [0.1, 0, 0], [9, 0, 0], [9, 9, 0], [0, 9, 0], [0.2, 0.2, 0.2]])
    faces = np.array([[0, 2, 3], [0, 3, 4], [0, 4, 2], [1, 2, 4]])
    coarse = cluster_vertices(vertices, faces, 1.0)
    assert coarse.trace[0] == coarse.trace[1] == coarse.trace[5]
    expected = (3 * vertices[0] + vertices[1] + vertices[5]) / 5
    np.testing.assert_allclose(coarse.vertices[coarse.trace[0]], expected, atol=1e-15)
    assert len(coarse.faces) == 3


def test_a_vertex_without_faces_far_away_does_not_move_the_grid():
    vertices, faces = _height_field(20, 3)
    plain = cluster_vertices(vertices, faces, 0.1)
    more = cluster_vertices(np.concatenate([vertices, [[-40.0, 3.0, 70.0]]]), faces, 0.1)
    assert len(more.vertices) == len(plain.vertices) + 1
    same = np.delete(more.vertices, more.trace[-1], axis=0)
    np.testing.assert_array_equal(np.sort(same, axis=0), np.sort(plain.vertices, axis=0))


def test_face_order_does_not_matter():
    vertices, faces = _height_field(30, 4)
    shuffled = np.random.default_rng(0).permutation(np.roll(faces, 1, axis=1))
    for one, other in zip(cluster_vertices(vertices, faces, 0.06), cluster_vertices(vertices, shuffled, 0.06)):
        np.testing.assert_array_equal(one, other)


def test_unit_of_length_does_not_matter():
    vertices, faces = _height_field(30, 5)
    metres = cluster_vertices(vertices, faces, 0.0625)
    large = cluster_vertices(vertices * 1024, faces, 64.0)
    np.testing.assert_array_equal(metres.trace, large.trace)
    np.testing.assert_array_equal(metres.vertices * 1024, large.vertices)


def test_degenerate_meshes():
    empty = cluster_vertices(np.zeros((0, 3)), np.zeros((0, 3), np.int32), 0.1)
    assert empty.vertices.shape == empty.faces.shape == (0, 3)
    assert empty.trace.shape == (0,)
    cloud = cluster_vertices(np.array([[0, 0, 0], [0.01, 0, 0], [5, 0, 0]]), np.zeros((0, 3), np.int32), 0.5)
    assert cloud.trace.tolist() == [0, 0, 1]
    point = cluster_vertices(np.full((3, 3), 2.5), np.array([[0, 1, 2]]), 0.1)
    np.testing.assert_array_equal(point.vertices, [[2.5, 2.5, 2.5]])
    assert len(point.faces) == 0


@pytest.mark.parametrize("cell_size", [0.0, -0.1, np.nan, np.inf])
def test_cell_sizes_that_are_none(cell_size):
    vertices, faces = _height_field(4, 6)
    with pytest.raises(ValueError, match="cell_size must be positive and finite"):
        cluster_vertices(vertices, faces, cell_size)


def test_too_many_cells():
    vertices, faces = _height_field(4, 7)
    with pytest.raises(ValueError, match=r"cells of 1e-07 divide the x axis into .*; at most 2097152"):
        cluster_vertices(vertices, faces, 1e-7)
    far = np.concatenate([vertices, [[0, 1e300, 0]]])
    with pytest.raises(ValueError, match="divide the y axis into 1e\\+302"):
        cluster_vertices(far, faces, 0.01)


def test_non_finite_vertices():
    vertices, faces = _height_field(4, 8)
    vertices[5, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 36 vertices are not finite, the first is vertex 5"):
        cluster_vertices(vertices, faces, 0.1)


def test_same_bytes_from_several_threads():
    vertices, faces = _height_field(60, 9)
    expected = cluster_vertices(vertices, faces, 0.05)
    with ThreadPoolExecutor(4) as pool:
        for coarse in pool.map(lambda _: cluster_vertices(vertices, faces, 0.05), range(8)):
            for one, other in zip(coarse, expected):
                assert one.tobytes() == other.tobytes()
