"""The nearest place on a vertex's faces, against a dense search."""

import numpy as np
import pytest

from kernels.host.mesh.closest_face import closest_on_fans


def soup(rng, vertices=12, faces=14):
    return rng.normal(size=(vertices, 3)), rng.integers(0, vertices, (faces, 3)).astype(np.int32)


def places(corners, weights, vertices):
    return np.einsum("nk,nkd->nd", weights.astype(np.float64), vertices[corners])


@pytest.mark.parametrize("seed", range(6))
def test_no_place_of_the_fan_is_nearer(seed):
    rng = np.random.default_rng(seed)
    vertices, faces = soup(rng)  # with repeated corners
    points, around = rng.normal(size=(40, 3)), rng.integers(0, len(vertices), 40).astype(np.int32)
    corners, weights = closest_on_fans(points, around, vertices, faces)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert (weights >= 0).all()
    found = np.linalg.norm(places(corners, weights, vertices) - points, axis=1)
    steps = np.linspace(0, 1, 41)
    dense = np.array([(1 - s - t, s, t) for s in steps for t in steps if s + t <= 1 + 1e-12])
    for row, (point, vertex) in enumerate(zip(points, around)):
        fan = faces[(faces == vertex).any(axis=1)]
        if not len(fan):
            assert (corners[row] == vertex).all()
            np.testing.assert_array_equal(weights[row], [1, 0, 0])
            continue
        assert (fan == corners[row]).all(axis=1).any()
        nearest = min(np.linalg.norm(dense @ vertices[face] - point, axis=1).min() for face in fan)
        assert found[row] <= nearest + 1e-6


def test_a_linear_field_is_exact_on_the_surface_and_a_constant_everywhere():
    x, y = np.meshgrid(np.arange(6.0), np.arange(5.0))
    vertices = np.stack([x, y, 0.3 * x - 0.2 * y], -1).reshape(-1, 3)
    at = np.arange(30).reshape(5, 6)
    a, b, c, d = (part.ravel() for part in (at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]).astype(np.int32)
    rng = np.random.default_rng(0)
    weights = rng.dirichlet([1, 1, 1], 200)
    chosen = faces[rng.integers(0, len(faces), 200)]
    points, around = np.einsum("nk,nkd->nd", weights, vertices[chosen]), chosen[:, 1]
    field = vertices @ [0.7, -1.1, 2.0] + 3
    corners, found = closest_on_fans(points, around, vertices, faces)
    np.testing.assert_allclose((found * field[corners]).sum(axis=1), points @ [0.7, -1.1, 2.0] + 3, atol=1e-5)
    corners, found = closest_on_fans(points + rng.normal(size=points.shape), around, vertices, faces)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_rows_outside_are_refused():
    vertices, faces = soup(np.random.default_rng(0))
    with pytest.raises(ValueError, match="around has rows 12 to 12, outside the 12 vertices"):
        closest_on_fans(np.zeros((1, 3)), np.array([12]), vertices, faces)
    with pytest.raises(ValueError, match="faces has rows"):
        closest_on_fans(np.zeros((1, 3)), np.array([0]), vertices, faces + 1)
    with pytest.raises(ValueError, match="points"):
        closest_on_fans(np.zeros((2, 3)), np.array([0]), vertices, faces)
