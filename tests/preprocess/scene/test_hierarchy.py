"""Seven levels with total traces; seams and vertex order do not matter; level-0 labels by brute force."""

import numpy as np
import pytest

from kernels.host.mesh.clustering import cluster_vertices
from preprocess.scene.hierarchy import build_hierarchy, level0_labels
from preprocess.scene.params import HierarchyParams, plan_levels

PARAMS = HierarchyParams(cells=(0.04, 0.08), ring_width=8, voxel_size=0.04)


@pytest.fixture(scope="module")
def mesh(sphere, make_mesh):
    return make_mesh(*sphere)


@pytest.fixture(scope="module")
def hierarchy(mesh):
    return build_hierarchy(mesh, PARAMS)


def pairs(vertices: np.ndarray, table) -> set:
    """Joined positions of a ring table."""
    width = table.ring.shape[1]
    edges = {(target, int(source)) for target, row in enumerate(table.ring) for source in row if source >= 0}
    edges |= set(zip(table.overflow_target.tolist(), table.overflow_source.tolist()))
    assert all(len(row) == width for row in table.ring)
    return {(tuple(vertices[a]), tuple(vertices[b])) for a, b in edges}


def test_seven_levels_with_total_surjective_traces(mesh, hierarchy):
    sizes = [len(mesh.vertices), *(len(v) for v in hierarchy.level_vertices)]
    assert len(sizes) == 8
    assert (np.diff(sizes) < 0).all()
    for level, trace in enumerate(hierarchy.traces):
        assert len(trace) == sizes[level]
        np.testing.assert_array_equal(np.unique(trace), np.arange(sizes[level + 1]))
    for level, faces in enumerate(hierarchy.level_faces):
        assert faces.min() >= 0
        assert faces.max() < sizes[level + 1]
        joined = {(tuple(hierarchy.level_vertices[level][a]), tuple(hierarchy.level_vertices[level][b]))
                  for k in range(3) for a, b in zip(faces[:, k], faces[:, k - 1])}  # fmt: skip
        assert pairs(hierarchy.level_vertices[level], hierarchy.rings[level]) == joined | {(b, a) for a, b in joined}
    assert all(hierarchy.reached)


def test_the_first_levels_are_clusterings_and_the_others_shrink_by_the_ratio(mesh, hierarchy):
    first = cluster_vertices(mesh.vertices, mesh.faces, 0.04)
    np.testing.assert_array_equal(hierarchy.level_vertices[0], first.vertices)
    second = cluster_vertices(first.vertices, first.faces, 0.08)
    np.testing.assert_array_equal(hierarchy.traces[1], second.trace)
    for level in range(2, 7):
        assert len(hierarchy.level_faces[level]) <= round(0.3 * len(hierarchy.level_faces[level - 1]))


def test_hierarchies_by_name(mesh):
    """Clustering alone shrinks about as fast as quadric collapse does; a regular sphere has no exact share."""
    assert plan_levels("vc+qem", (0.04, 0.08), 0.3) == ((0.04, 0.08), 5)
    assert plan_levels("qem", (0.04, 0.08), 0.3) == ((), 7)
    cells, quadric_levels = plan_levels("vc", (0.04, 0.08), 0.25)
    assert quadric_levels == 0
    np.testing.assert_allclose(cells, 0.04 * 2.0 ** np.arange(7))
    sizes = {}
    for name in ("vc", "qem"):
        cells, quadric_levels = plan_levels(name, (0.04,), 0.3)
        built = build_hierarchy(mesh, HierarchyParams(cells, quadric_levels, voxel_size=0.04))
        sizes[name] = np.array([len(faces) for faces in built.level_faces])
    np.testing.assert_array_equal(sizes["qem"][1:] <= np.round(0.3 * sizes["qem"][:-1]), True)
    shares = sizes["vc"][1:4] / sizes["vc"][:3]
    assert ((shares > 0.2) & (shares < 0.4)).all(), shares


def test_a_seam_changes_nothing(mesh, hierarchy, make_mesh):
    """Every corner its own vertex, as in an STL file."""
    corners = mesh.faces.ravel()
    soup = make_mesh(mesh.vertices[corners], np.arange(len(corners), dtype=np.int32).reshape(-1, 3))
    split = build_hierarchy(soup, PARAMS)
    for level in range(7):
        np.testing.assert_allclose(split.level_vertices[level], hierarchy.level_vertices[level], atol=1e-12)
        np.testing.assert_array_equal(split.rings[level].ring, hierarchy.rings[level].ring)
    np.testing.assert_array_equal(split.traces[0], hierarchy.traces[0][corners])


def test_traces_follow_a_permutation_of_the_vertices(mesh, hierarchy, make_mesh):
    order = np.random.default_rng(0).permutation(len(mesh.vertices))
    place = np.argsort(order).astype(np.int32)
    shuffled = build_hierarchy(make_mesh(mesh.vertices[order], place[mesh.faces]), PARAMS)
    np.testing.assert_array_equal(shuffled.traces[0], hierarchy.traces[0][order])
    for level in range(1, 7):
        np.testing.assert_array_equal(shuffled.traces[level], hierarchy.traces[level])


def test_isolated_vertices_get_an_answer(mesh, make_mesh):
    vertices = np.concatenate([mesh.vertices, [[2.0, 2.0, 2.0]], mesh.vertices[:1] + 1e-3])
    levels = build_hierarchy(make_mesh(vertices, mesh.faces), PARAMS)
    for trace, coarse in zip(levels.traces, levels.level_vertices):
        np.testing.assert_array_equal(np.unique(trace), np.arange(len(coarse)))
    far = len(mesh.vertices)
    np.testing.assert_allclose(levels.level_vertices[0][levels.traces[0][far]], [2, 2, 2], atol=1e-12)


@pytest.mark.parametrize("cells", [(), (0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28)])
def test_clustering_or_quadrics_alone(mesh, cells):
    params = HierarchyParams(cells=cells, quadric_levels=7 - len(cells), placement="optimal")
    levels = build_hierarchy(mesh, params)
    assert (np.diff([len(v) for v in levels.level_vertices]) < 0).all()
    assert all(levels.reached[:6])


def test_one_triangle(make_mesh):
    levels = build_hierarchy(make_mesh(np.eye(3), np.array([[0, 1, 2]], np.int32)), PARAMS)
    assert [len(v) for v in levels.level_vertices] == [3] * 7
    tiny = build_hierarchy(make_mesh(np.full((3, 3), 0.5) + np.eye(3) * 1e-4, np.array([[0, 1, 2]], np.int32)), PARAMS)
    for trace, coarse in zip(tiny.traces, tiny.level_vertices):
        np.testing.assert_array_equal(np.unique(trace), np.arange(len(coarse)))


def test_one_vertex_a_level(make_mesh):
    point = make_mesh(np.zeros((3, 3)), np.array([[0, 1, 2]], np.int32))
    levels = build_hierarchy(point, PARAMS)
    assert [len(v) for v in levels.level_vertices] == [1] * 7
    assert [len(f) for f in levels.level_faces] == [0] * 7
    np.testing.assert_array_equal(levels.traces[0], [0, 0, 0])


@pytest.mark.parametrize("rule", ["nearest", "majority"])
def test_level0_labels_by_brute_force(mesh, hierarchy, rule):
    rng = np.random.default_rng(1)
    labels = rng.integers(-1, 4, len(mesh.vertices)).astype(np.int32)
    labels[hierarchy.traces[0] < 20] = -1
    found = level0_labels(rule, mesh.vertices, labels, hierarchy.level_vertices[0], hierarchy.traces[0])
    for row, vertex in enumerate(hierarchy.level_vertices[0]):
        if rule == "nearest":
            distance = np.linalg.norm(mesh.vertices - vertex, axis=1)
            assert found[row] in labels[distance < distance.min() + 1e-12]
        else:
            own = labels[hierarchy.traces[0] == row]
            counts = [(own == k).sum() for k in range(4)]
            assert found[row] == (np.argmax(counts) if any(counts) else -1)
    assert found.dtype == np.int32


def test_params_survive_their_dict():
    params = HierarchyParams(cells=(1, 2, 4), quadric_levels=4, voxel_size=0.5, placement="optimal")
    assert HierarchyParams.from_dict({**params.to_dict(), "units": "m"}) == params
    assert params.to_dict()["cells"] == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cells": (0.02,)}, "7 levels, not 1 clustering cells and 5 quadric levels"),
        ({"cells": (0.02, 0)}, "must be positive"),
        ({"cells": (0.04, 0.02)}, "cells must grow from level to level"),
        ({"voxel_size": float("nan")}, "must be positive"),
        ({"ratio": 1.0}, "ratio must be between 0 and 1"),
        ({"ring_width": 0}, "ring_width must be at least 1"),
        ({"placement": "best"}, "placement must be one of"),
        ({"level0_labels": "first"}, "level0_labels must be one of"),
    ],
)
def test_wrong_params(wrong, message):
    with pytest.raises(ValueError, match=message):
        HierarchyParams(**wrong)
