"""What holds for every simplified mesh, and how close the fast order comes to the exact one."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from kernels.host.mesh.clustering import cluster_vertices
from kernels.host.mesh.faces import unique_faces
from kernels.host.simplify.decimate import Decimation, _settle, decimate
from kernels.host.simplify.greedy import collapse_by_heap
from kernels.host.simplify.mesh_state import BLOCK, LOW, new_mesh_state
from kernels.host.simplify.rounds import collapse_in_rounds

MODES = [(placement, order) for placement in ("half_edge", "optimal") for order in ("rounds", "heap")]


def _grid_faces(rows, columns, wrap=False):
    """Two triangles for each square of a rows x columns grid, closed in both directions with wrap."""
    i, j = np.meshgrid(np.arange(rows - (not wrap)), np.arange(columns - (not wrap)), indexing="ij")
    a, b = (i * columns + j).ravel(), ((i + 1) % rows * columns + j).ravel()
    c, d = ((i + 1) % rows * columns + (j + 1) % columns).ravel(), (i * columns + (j + 1) % columns).ravel()
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]).astype(np.int32)


def height_field(side=32, seed=0):
    """A noisy sheet with a step: flat parts, ridges and a boundary."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side), indexing="ij")
    z = 0.15 * np.sin(9 * x) * (y > 0.5) + 0.2 * (x > 0.6) + 0.003 * rng.normal(size=x.shape)
    jitter = 0.2 / side * rng.normal(size=(2, *x.shape))
    return np.stack([x + jitter[0], y + jitter[1], z], axis=-1).reshape(-1, 3), _grid_faces(side, side)


def torus(rows=48, columns=24, seed=1):
    rng = np.random.default_rng(seed)
    u, v = np.meshgrid(2 * np.pi * np.arange(rows) / rows, 2 * np.pi * np.arange(columns) / columns, indexing="ij")
    radius = 0.3 + 0.004 * rng.normal(size=u.shape)
    ring = 1 + radius * np.cos(v)
    vertices = np.stack([ring * np.cos(u), ring * np.sin(u), radius * np.sin(v)], axis=-1)
    return vertices.reshape(-1, 3), _grid_faces(rows, columns, wrap=True)


def together(*meshes):
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in meshes])
    return np.concatenate([m[0] for m in meshes]), np.concatenate([m[1] + s for m, s in zip(meshes, starts)])


def near_sheets(side=20):
    """Two sheets closer to each other than their edges are long, a speck, and vertices without faces."""
    low, faces = height_field(side, 2)
    speck = np.random.default_rng(3).normal(0.6, 0.01, size=(4, 3))
    tetrahedron = np.array([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]], np.int32)
    loose = np.random.default_rng(4).uniform(size=(30, 3))
    return together(
        (low, faces),
        (low + np.array([0.01, 0.005, 0.015]), faces),
        (speck, tetrahedron),
        (loose, np.zeros((0, 3), np.int32)),
    )


def non_manifold(side=36, cell_size=0.06):
    """Clustering of crossing sheets, with fins, repeated, reversed, degenerate and flat faces, and equal vertices."""
    rng = np.random.default_rng(5)
    sheet, faces = height_field(side, 6)
    vertices, faces = together((sheet, faces), (sheet[:, [2, 0, 1]] + np.array([0.4, 0, 0]), faces))
    vertices, faces, _ = cluster_vertices(vertices, faces, cell_size)
    some = faces[rng.integers(len(faces), size=40)]
    fins = np.column_stack([some[:, :2], len(vertices) + np.arange(40)])
    tips = vertices[some[:, :2]].mean(axis=1) + rng.normal(scale=0.03, size=(40, 3))
    middles = vertices[some[:, 1:]].mean(axis=1)
    flat = np.column_stack([some[:, 1], len(vertices) + 40 + np.arange(40), some[:, 2]])
    twins = vertices[some[:, 0]]
    split = np.column_stack([len(vertices) + 80 + np.arange(40), some[:, 1:]])
    dirty = np.concatenate([faces, fins, flat, split, some[:, ::-1], some, some[:, [0, 1, 1]]])
    return np.concatenate([vertices, tips, middles, twins]), rng.permutation(dirty).astype(np.int32)


def open_box():
    """A cube without its lid, 9 x 9 squares a side, exact right angles and flat faces."""
    n = 9
    u, v = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    u, v, w = u.ravel() / n, v.ravel() / n, np.zeros((n + 1) ** 2)
    sides = [(u, v, w), (w, u, v), (v, w, u), (u, w + 1, v), (w + 1, u, v)]
    vertices, faces = together(*((np.stack(side, axis=1), _grid_faces(n + 1, n + 1)) for side in sides))
    _, first, merged = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
    return vertices[first], merged.ravel()[faces].astype(np.int32)


def wheel(spokes=3000):
    """One vertex with very many faces, and a rim that is not quite even."""
    angle = 2 * np.pi * np.arange(spokes) / spokes
    radius = 1 + 1e-3 * np.sin(37 * angle)
    rim = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0.01 * np.sin(91 * angle)], axis=1)
    number = np.arange(1, spokes + 1)
    faces = np.stack([np.zeros_like(number), number, np.roll(number, -1)], axis=1)
    return np.concatenate([np.zeros((1, 3)), rim]), faces.astype(np.int32)


MESHES = {make.__name__: make for make in (height_field, torus, near_sheets, non_manifold, open_box)}


@pytest.fixture(params=MESHES.values(), ids=MESHES.keys())
def mesh(request):
    return request.param()


def _components(faces, num_vertices):
    """Component of each vertex, by faces."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]]).T
    graph = coo_matrix((np.ones(ends.shape[1]), tuple(ends)), shape=(num_vertices, num_vertices))
    return connected_components(graph, directed=False)[1]


def _assert_simplified(coarse: Decimation, vertices, faces, target):
    assert coarse.vertices.dtype == np.float64
    assert coarse.faces.dtype == coarse.trace.dtype == np.int32
    assert coarse.trace.shape == (len(vertices),)
    np.testing.assert_array_equal(np.unique(coarse.trace), np.arange(len(coarse.vertices)))
    assert len(coarse.faces) <= target
    assert np.isfinite(coarse.error)
    np.testing.assert_array_equal(coarse.faces, unique_faces(coarse.faces, len(coarse.vertices)))

    fine = _components(unique_faces(faces, len(vertices)), len(vertices))
    owner = np.full(len(coarse.vertices), -1)
    owner[coarse.trace] = fine
    np.testing.assert_array_equal(owner[coarse.trace], fine)  # No coarse vertex stands for two components ...
    assert set(owner) == set(fine)  # ... and each component still has one.
    np.testing.assert_array_equal(owner[coarse.faces[:, 0]], owner[coarse.faces[:, 1]])
    np.testing.assert_array_equal(owner[coarse.faces[:, 0]], owner[coarse.faces[:, 2]])


@pytest.mark.parametrize(("placement", "order"), MODES)
@pytest.mark.parametrize("share", [0.3, 0.02])
def test_every_simplified_mesh(mesh, placement, order, share):
    vertices, faces = mesh
    target = int(share * len(unique_faces(faces, len(vertices))))
    coarse = decimate(vertices, faces, target, placement, order)
    _assert_simplified(coarse, vertices, faces, target)
    assert coarse.reached
    assert (coarse.rounds > 0) == (order == "rounds")
    if placement == "half_edge":
        fine = {row.tobytes() for row in vertices}
        assert {row.tobytes() for row in coarse.vertices} <= fine


@pytest.mark.parametrize("optimal", [False, True])
def test_neighbours_are_found_on_the_sides_of_the_corners_that_are_read(mesh, optimal):
    vertices, faces = mesh
    mesh = new_mesh_state(vertices, unique_faces(faces, len(vertices)))
    assert np.isin(mesh.fan_blocks[:-1, 3], (1, 2)).all()
    closed = 0
    for target in (0.9, 0.6, 0.2):
        collapse_in_rounds(mesh, int(target * len(faces)), optimal)
        for first, _, size, sides in mesh.fan_blocks[:-1]:
            corners = mesh.vertex_fans[BLOCK * first : BLOCK * first + size]
            ahead, behind = set(corners >> 32), set(corners & LOW)
            closed += sides == 1 and size > 0
            assert sides == 2 or behind <= ahead
    assert closed > 0.5 * (mesh.parent == np.arange(len(vertices))).sum()


def test_half_edge_keeps_a_vertex_that_it_stands_for():
    vertices, faces = torus()
    coarse = decimate(vertices, faces, len(faces) // 5)
    own = (vertices == coarse.vertices[coarse.trace]).all(axis=1)
    np.testing.assert_array_equal(np.unique(coarse.trace[own]), np.arange(len(coarse.vertices)))


@pytest.mark.parametrize("placement", ["half_edge", "optimal"])
def test_closed_surface_keeps_its_genus(placement):
    vertices, faces = torus()
    coarse = decimate(vertices, faces, len(faces) // 4, placement)
    edges = np.sort(np.concatenate([coarse.faces[:, [0, 1]], coarse.faces[:, [1, 2]], coarse.faces[:, [2, 0]]]), axis=1)
    edges, uses = np.unique(edges, axis=0, return_counts=True)
    assert (uses == 2).all()
    assert len(coarse.vertices) - len(edges) + len(coarse.faces) == 0


@pytest.mark.parametrize("placement", ["half_edge", "optimal"])
def test_flat_sides_and_edges_of_a_box_stay(placement):
    vertices, faces = open_box()
    coarse = decimate(vertices, faces, 40, placement)
    corners = coarse.vertices[coarse.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1) / 2
    assert abs(areas.sum() - 5) < 0.02
    assert np.isclose(np.abs(normals / (2 * areas[:, None])).max(axis=1), 1, atol=1e-2).all()


@pytest.mark.parametrize("placement", ["half_edge", "optimal"])
@pytest.mark.parametrize(
    ("make", "size"), [(height_field, (80,)), (torus, (120, 60)), (near_sheets, (64,)), (non_manifold, (100, 0.02))]
)
def test_rounds_come_close_to_the_exact_order(make, size, placement):
    vertices, faces = make(*size)
    target = int(0.3 * len(unique_faces(faces, len(vertices))))
    rounds = decimate(vertices, faces, target, placement, "rounds").error
    exact = decimate(vertices, faces, target, placement, "heap").error
    assert 0 < rounds < 1.05 * exact


@pytest.mark.parametrize(("placement", "order"), MODES)
def test_order_of_faces_and_vertices_does_not_matter(placement, order):
    vertices, faces = near_sheets()
    rng = np.random.default_rng(7)
    plain = decimate(vertices, faces, 300, placement, order)
    shuffled = decimate(vertices, rng.permutation(np.roll(faces, 2, axis=1)), 300, placement, order)
    renumbering = rng.permutation(len(vertices))
    renumbered = decimate(vertices[renumbering], np.argsort(renumbering)[faces], 300, placement, order)
    for other in (shuffled, renumbered._replace(trace=renumbered.trace[np.argsort(renumbering)])):
        for one, two in zip(plain, other):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("placement", "order"), MODES)
def test_unit_of_length_and_place_do_not_matter(placement, order):
    vertices, faces = torus()
    plain = decimate(vertices, faces, 500, placement, order)
    large = decimate(vertices * 2.0**20, faces, 500, placement, order)
    np.testing.assert_array_equal(plain.trace, large.trace)
    np.testing.assert_array_equal(plain.vertices * 2.0**20, large.vertices)
    assert large.error == plain.error * 2.0**80
    # Far away the coordinates are rounded to 1e-10, so the result is close, not equal.
    far = decimate(vertices + np.array([1e6, -1e6, 1e6]), faces, 500, placement, order)
    assert far.error == pytest.approx(plain.error, rel=0.01)


@pytest.mark.parametrize(("placement", "order"), MODES)
def test_same_bytes_from_several_threads(placement, order):
    vertices, faces = non_manifold()
    expected = decimate(vertices, faces, 400, placement, order)
    with ThreadPoolExecutor(4) as pool:
        for coarse in pool.map(lambda _: decimate(vertices, faces, 400, placement, order), range(6)):
            for one, other in zip(coarse, expected):
                assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


@pytest.mark.parametrize(("placement", "order"), MODES)
def test_a_vertex_with_very_many_faces(placement, order):
    vertices, faces = wheel()
    coarse = decimate(vertices, faces, 500, placement, order)
    _assert_simplified(coarse, vertices, faces, 500)


@pytest.mark.parametrize(("placement", "order"), MODES)
def test_components_end_as_one_vertex_each(placement, order):
    vertices, faces = near_sheets()
    coarse = decimate(vertices, faces, 0, placement, order)
    _assert_simplified(coarse, vertices, faces, 0)
    assert len(coarse.vertices) == 3 + 30
    assert coarse.reached


def test_without_faces_a_positive_target_is_not_reached():
    vertices = np.random.default_rng(0).normal(size=(50, 3))
    no_faces = np.zeros((0, 3), np.int32)
    coarse = decimate(vertices, no_faces, 5)
    assert not coarse.reached
    np.testing.assert_array_equal(coarse.vertices[coarse.trace], vertices)
    assert coarse.faces.shape == (0, 3)
    assert coarse.error == 0
    assert decimate(vertices, no_faces, 0).reached
    assert decimate(vertices[:0], no_faces, 0).vertices.shape == (0, 3)


def test_many_tiny_components():
    # Closed specks lose their four faces in pairs: 2 each, then none. 100 of them reach every even number.
    rng = np.random.default_rng(1)
    speck = np.array([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]], np.int32)
    vertices, faces = together(*((rng.normal(size=(4, 3)) * 0.1 + 3 * rng.normal(size=3), speck) for _ in range(100)))
    for target in (150, 100, 3, 1):
        coarse = decimate(vertices, faces, target)
        _assert_simplified(coarse, vertices, faces, target)
        assert len(coarse.vertices) >= 100
        assert coarse.reached == (len(coarse.faces) > 0)
    assert not decimate(vertices[:4], faces[:4], 1).reached


def test_a_target_above_the_number_of_faces_only_cleans():
    vertices, faces = non_manifold()
    coarse = decimate(vertices, faces, len(faces))
    clean = unique_faces(faces, len(vertices))
    assert coarse.reached
    assert len(coarse.faces) == len(clean)
    np.testing.assert_array_equal(coarse.vertices[coarse.trace], vertices)
    assert len(np.unique(np.sort(coarse.trace[clean], axis=1), axis=0)) == len(clean)


def test_equal_positions_everywhere():
    coarse = decimate(np.full((4, 3), 7.0), np.array([[0, 1, 2], [1, 2, 3]], np.int32), 1, "optimal")
    assert len(coarse.faces) <= 1
    np.testing.assert_array_equal(coarse.vertices, np.full((len(coarse.vertices), 3), 7.0))


@pytest.mark.parametrize("collapse", [collapse_in_rounds, collapse_by_heap])
def test_fans_that_contradict_each_other_end_with_an_error(collapse):
    """Open fans that are taken for closed ones: half of the neighbours on the boundary are not seen."""
    mesh = new_mesh_state(*height_field())
    mesh.fan_blocks[:-1, 3] = 1
    with pytest.raises(RuntimeError, match="would never end"):
        collapse(mesh, 0, False)


def test_vertices_that_went_into_each_other_end_with_an_error():
    with pytest.raises(RuntimeError, match="would never end"):
        _settle(np.array([1, 2, 1], np.int32))


def test_arguments_that_are_none():
    vertices, faces = torus(6, 5)
    with pytest.raises(ValueError, match="target_faces must be at least 0, got -1"):
        decimate(vertices, faces, -1)
    with pytest.raises(ValueError, match=r"placement must be one of \('half_edge', 'optimal'\), got 'middle'"):
        decimate(vertices, faces, 5, placement="middle")
    with pytest.raises(ValueError, match=r"order must be one of \('rounds', 'heap'\), got 'random'"):
        decimate(vertices, faces, 5, order="random")
    with pytest.raises(ValueError, match="extends over 2e"):
        decimate(np.array([[-1e200, 0, 0], [1e200, 0, 0]]), np.zeros((0, 3), int), 5)
    vertices[3, 2] = np.inf
    with pytest.raises(ValueError, match="1 of 30 vertices are not finite, the first is vertex 3"):
        decimate(vertices, faces, 5)
