"""Solids, their union on a grid, and the surface around them, against volumes, distances and the Euler number."""

import numpy as np
import pytest

from preprocess.synthetic.scan import grow, keep_pieces, seen_from
from preprocess.synthetic.solids import DistanceGrid, box, cylinder, ellipsoid, move_parts, sheet
from preprocess.synthetic.surface_nets import surface_nets


def surface_of(parts, step=0.05):
    grid = DistanceGrid((-1, -1, -1), (1, 1, 1), step)
    for index, part in enumerate(parts):
        grid.add(part, index)
    vertices, faces, tags = surface_nets(grid.distance, grid.part)
    return grid, grid.lower + step * vertices, faces, tags


def volume_of(vertices, faces):
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return np.einsum("fi,fi->", a, np.cross(b, c)) / 6


SOLIDS = [
    (box(1, (0, 0, 0), (0.1, 0, 0), (1.2, 0.8, 0.6), yaw=0.4, tilt=0.3), 1.2 * 0.8 * 0.6),
    (cylinder(1, (0, 0, 0), (0, 0.1, 0), (0.9, 0.9, 1.1), tilt=0.5), np.pi * 0.45**2 * 1.1),
    (ellipsoid(1, (0, 0, 0), (0, 0, 0.1), (1.4, 1.0, 0.8), yaw=1.0), np.pi / 6 * 1.4 * 1.0 * 0.8),
    (sheet(1, (0, 0, 0), (0, 0, 0), (1.0, 0.2, 1.2), wave=(0.1, 6.0, 0.5), yaw=2.0), 1.0 * 0.2 * 1.2),
]


@pytest.mark.parametrize(("part", "volume"), SOLIDS)
def test_surface_is_closed_points_outwards_and_has_the_volume(part, volume):
    _, vertices, faces, _ = surface_of([part], step=0.04)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forward = {tuple(edge) for edge in edges.tolist()}
    assert len(forward) == len(edges)
    assert {(b, a) for a, b in forward} == forward
    assert len(vertices) - len(edges) // 2 + len(faces) == 2
    np.testing.assert_allclose(volume_of(vertices, faces), volume, rtol=0.06 if part.wave[0] == 0 else 0.2)


def test_vertices_lie_on_a_ball():
    _, vertices, _, _ = surface_of([ellipsoid(1, (0, 0, 0), (0.1, 0, -0.1), (1.3, 1.3, 1.3))])
    radius = np.linalg.norm(vertices - (0.1, 0, -0.1), axis=1)
    np.testing.assert_allclose(radius, 0.65, atol=0.003)


def test_tags_name_the_part_at_the_surface():
    parts = [box(1, (0, 0, 0), (-0.4, 0, 0), (0.8, 0.6, 0.6)), box(1, (0, 0, 0), (0.4, 0, 0), (0.8, 0.6, 0.6))]
    _, vertices, _, tags = surface_of(parts)
    clear = np.abs(vertices[:, 0]) > 0.05
    np.testing.assert_array_equal(tags[clear], (vertices[clear, 0] > 0).astype(int))


def test_carving_makes_a_hollow_with_its_own_tag():
    block = box(1, (0, 0, 0), (0, 0, 0), (1.4, 1.4, 1.0))
    hollow = box(1, (0, 0, 0), (0, 0, 0.5), (0.8, 0.8, 1.2), carve=True)
    _, vertices, faces, tags = surface_of([block, hollow], step=0.04)
    np.testing.assert_allclose(volume_of(vertices, faces), 1.4 * 1.4 - 0.8 * 0.8 * 0.6, rtol=0.05)
    inner = (np.abs(vertices[:, :2]) < 0.37).all(1) & (vertices[:, 2] > -0.2)
    assert inner.sum() > 100
    assert (tags[inner] == 1).all()
    assert (tags[vertices[:, 2] < -0.45] == 0).all()


def test_solids_thinner_than_a_step_do_not_vanish():
    """A 1 cm board on a 5 cm grid, wherever it lies and however it is turned, comes out in one piece."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        yaw, shift = rng.uniform(0, np.pi), rng.uniform(-0.05, 0.05, 3)
        _, vertices, faces, _ = surface_of(move_parts([box(1, (0, 0, 0), (0, 0, 0), (1.0, 0.01, 1.0))], yaw, shift))
        assert len(keep_pieces(faces, len(vertices), smallest=len(faces))) == len(faces) > 1000


def test_moved_parts_turn_together():
    part = box(1, (0, 0, 0), (1.0, 0, 0), (0.2, 0.4, 0.6))
    (moved,) = move_parts([part], np.pi / 2, (0, 0, 2.0))
    np.testing.assert_allclose(moved.centre, (0, 1.0, 2.0), atol=1e-12)
    np.testing.assert_allclose(moved.axes[0], (0, 1.0, 0), atol=1e-12)


def test_a_wall_hides_what_is_behind_it():
    floor = box(1, (0, 0, 0), (0, 0, -1.4), (4, 4, 1.0))
    wall = box(1, (0, 0, 0), (0, 0, -0.4), (0.06, 4, 1.2))
    grid, *_ = surface_of([floor, wall])
    points = np.array([[-0.6, 0, -0.9], [0.6, 0, -0.9], [0.6, 0, -0.9]])
    normals = np.array([[0, 0, 1.0], [0, 0, 1.0], [0, 0, -1.0]])
    cameras = np.array([[0.5, 0.3, -0.2]])
    np.testing.assert_array_equal(seen_from(grid, points, normals, cameras), [False, True, False])
    above = np.array([[-0.5, 0.3, 0.9]])
    np.testing.assert_array_equal(
        seen_from(grid, points, normals, np.concatenate([cameras, above])), [True, True, False]
    )


def test_grow_and_keep_pieces():
    faces = np.array([[0, 1, 2], [1, 2, 3], [4, 5, 6]], np.int32)
    np.testing.assert_array_equal(grow(np.eye(7, dtype=bool)[0], faces), [1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(keep_pieces(faces, 7, smallest=2), faces[:2])


def test_wrong_grids_are_refused():
    with pytest.raises(ValueError, match="at least 2"):
        surface_nets(np.zeros((1, 5, 5), np.float32), np.zeros((1, 5, 5), np.int32))
