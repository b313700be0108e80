"""One-rings against sets of Python integers."""

import numpy as np
import pytest

from kernels.host.mesh.rings import RingCSR, edge_targets_sources, one_ring, ring_table, rings_from_edges


def rings_by_sets(pairs, num_vertices):
    rings = [set() for _ in range(num_vertices)]
    for one, other in pairs:
        if one != other:
            rings[one].add(other)
            rings[other].add(one)
    return [sorted(ring) for ring in rings]


def as_lists(csr):
    return [csr.neighbours[start:end].tolist() for start, end in zip(csr.offsets, csr.offsets[1:])]


def face_pairs(faces):
    return [(face[i], face[(i + 1) % 3]) for face in faces.tolist() for i in range(3)]


def messy_faces(seed):
    """Non-manifold, repeated and degenerate faces, a hub, and vertices 38 and 39 in no face."""
    rng = np.random.default_rng(seed)
    faces = rng.integers(0, 38, (60, 3)).astype(np.int32)
    fan = np.stack([np.full(30, 7), np.arange(30), np.arange(1, 31)], 1).astype(np.int32)
    return np.concatenate([faces, faces[:10], faces[:5, ::-1], fan, [[3, 3, 3], [3, 3, 4]]]).astype(np.int32)


@pytest.mark.parametrize("seed", range(3))
def test_one_ring_is_that_of_the_sets(seed):
    faces = messy_faces(seed)
    csr = one_ring(faces, 40)
    assert (csr.offsets.dtype, csr.neighbours.dtype) == (np.int32, np.int32)
    assert as_lists(csr) == rings_by_sets(face_pairs(faces), 40)
    assert as_lists(csr)[38:] == [[], []]


def test_rings_from_edges_close_the_list():
    rng = np.random.default_rng(3)
    targets, sources = rng.integers(0, 20, (2, 50)).astype(np.int32)
    csr = rings_from_edges(targets, sources, 21)
    assert as_lists(csr) == rings_by_sets(zip(targets.tolist(), sources.tolist()), 21)
    swapped = rings_from_edges(sources[::-1], targets[::-1], 21)
    assert [array.tolist() for array in swapped] == [array.tolist() for array in csr]
    wide = rings_from_edges(targets.astype(np.int64), sources.astype(np.uint8), 21)
    assert [array.tolist() for array in wide] == [array.tolist() for array in csr]


def test_faces_and_edges_of_faces_agree():
    faces = messy_faces(4)
    targets, sources = np.array(face_pairs(faces)).T
    assert as_lists(one_ring(faces, 40)) == as_lists(rings_from_edges(targets, sources, 40))


def test_renaming_vertices_renames_the_rings():
    faces = messy_faces(5)
    names = np.random.default_rng(6).permutation(40).astype(np.int32)
    renamed = as_lists(one_ring(names[faces], 40))
    assert [renamed[names[v]] for v in range(40)] == [
        sorted(names[ring].tolist()) for ring in as_lists(one_ring(faces, 40))
    ]


@pytest.mark.parametrize("width", [1, 4, 16, 64])
def test_table_holds_every_edge_once_and_its_way_back(width):
    csr = one_ring(messy_faces(7), 40)
    rings = as_lists(csr)
    table = ring_table(csr, width)
    assert [array.dtype for array in table] == [np.int32] * 6
    assert table.ring.shape == table.reverse.shape == (40, width)
    assert table.degree.tolist() == [len(ring) for ring in rings]
    assert table.ring.tolist() == [ring[:width] + [-1] * (width - len(ring)) for ring in rings]
    beyond = [(vertex, other) for vertex, ring in enumerate(rings) for other in ring[width:]]
    assert list(zip(table.overflow_target.tolist(), table.overflow_source.tolist())) == beyond
    assert np.array_equal(table.ring < 0, table.reverse < 0)

    target, source, valid = edge_targets_sources(table)
    reverse = np.concatenate([table.reverse.ravel(), table.overflow_reverse])
    edges = np.flatnonzero(valid)
    ends = list(zip(target[edges].tolist(), source[edges].tolist()))
    assert sorted(ends) == [(vertex, other) for vertex, ring in enumerate(rings) for other in ring]
    np.testing.assert_array_equal(target[reverse[edges]], source[edges])
    np.testing.assert_array_equal(source[reverse[edges]], target[edges])
    np.testing.assert_array_equal(reverse[reverse[edges]], edges)
    assert np.all(reverse[~valid] == -1)


def test_width_16_has_no_overflow_up_to_degree_16():
    def star(count):
        return ring_table(rings_from_edges(np.zeros(count, np.int32), np.arange(1, count + 1), count + 1))

    assert len(star(16).overflow_target) == 0
    table = star(19)
    assert table.overflow_target.tolist() == [0, 0, 0]
    assert table.overflow_source.tolist() == [17, 18, 19]
    assert table.overflow_reverse.tolist() == [17 * 16, 18 * 16, 19 * 16]
    assert table.reverse[1:, 0].tolist() == [*range(16), 20 * 16, 20 * 16 + 1, 20 * 16 + 2]


def test_no_faces_no_vertices():
    csr = one_ring(np.zeros((0, 3), np.int32), 3)
    assert as_lists(csr) == [[], [], []]
    assert ring_table(csr, 2).ring.tolist() == [[-1, -1]] * 3
    nothing = ring_table(one_ring(np.zeros((0, 3), np.int32), 0))
    assert [array.shape for array in nothing] == [(0, 16), (0, 16), (0,), (0,), (0,), (0,)]
    assert [array.shape for array in edge_targets_sources(nothing)] == [(0,)] * 3


def test_wrong_indices_are_named():
    faces = np.array([[0, 1, 2], [2, 1, 5]], np.int32)
    with pytest.raises(ValueError, match=r"face 1 is \[2, 1, 5\], outside the 5 vertices"):
        one_ring(faces, 5)
    with pytest.raises(ValueError, match=r"face 0 is \[0, -1, 2\]"):
        one_ring(np.array([[0, -1, 2]]), 5)
    with pytest.raises(ValueError, match=r"face 0 is .*9223372036854775807"):
        one_ring(np.array([[0, 1, 2**63 - 1]]), 5)
    with pytest.raises(ValueError, match="edge source 2 is 9, outside the 3 vertices"):
        rings_from_edges(np.array([0, 1, 2]), np.array([1, 2, 9]), 3)
    with pytest.raises(ValueError, match=r"\(3,\) and \(2,\)"):
        rings_from_edges(np.array([0, 1, 2]), np.array([1, 2]), 3)
    with pytest.raises(ValueError, match=r"\[F, 3\], got \(2, 4\)"):
        one_ring(np.zeros((2, 4), np.int32), 3)
    with pytest.raises(TypeError, match="float64"):
        one_ring(np.zeros((2, 3)), 3)
    with pytest.raises(ValueError, match="got -1"):
        one_ring(np.zeros((0, 3), np.int32), -1)


@pytest.mark.parametrize(
    ("offsets", "neighbours"),
    [
        ([0, 1, 1], [1]),
        ([0, 2, 3, 4], [2, 1, 0, 0]),
        ([0, 1, 2], [0, 1]),
        ([0, 1, 2], [1, 7]),
        ([0, 2, 3], [1, 1, 0]),
    ],
    ids=["one way only", "descending", "loops", "unknown vertex", "repeated"],
)
def test_rings_that_are_no_rings_are_refused(offsets, neighbours):
    with pytest.raises(ValueError, match="not symmetric, ascending and free of loops at vertex"):
        ring_table(RingCSR(np.array(offsets, np.int32), np.array(neighbours, np.int32)))


def test_offsets_and_width_are_checked():
    for offsets in ([], [0, 3], [1, 2], [0, 2, 1, 2]):
        with pytest.raises(ValueError, match="ascend from 0 to the 2 neighbours"):
            ring_table(RingCSR(np.array(offsets, np.int32), np.array([1, 0], np.int32)))
    csr = rings_from_edges(np.array([0]), np.array([1]), 2)
    with pytest.raises(ValueError, match="at least 1 slot, got 0"):
        ring_table(csr, 0)
    with pytest.raises(ValueError, match="exceed int32 edge ids"):
        ring_table(csr, 2**30)
