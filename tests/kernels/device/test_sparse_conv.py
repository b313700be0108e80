"""Sparse convolutions against dense ones, and against a change of row order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from kernels.device.sparse_conv import pallas
from kernels.device.sparse_conv.api import strided_conv, submanifold_conv, transposed_conv

GRID = (6, 8, 4)
CIN, COUT = 3, 5


@pytest.fixture(scope="module")
def problem(oracles):
    """Voxels in a 6 x 8 x 4 grid in random row order, their tables with 9 padding rows, features and weights."""
    rng = np.random.default_rng(5)
    coords = np.argwhere(rng.random(GRID) < 0.4)
    rng.shuffle(coords)
    rows = len(coords) + 9
    coarse_rows = len(np.unique(coords >> 1, axis=0)) + 9
    coarse, children, slots = oracles.child_tables(coords, rows, coarse_rows)
    return {
        "coords": coords,
        "coarse": coarse,
        "neighbours": oracles.neighbour_table(coords, rows),
        "children": children,
        "slots": slots,
        "fine": rng.normal(size=(len(coords), CIN)),
        "coarse_features": rng.normal(size=(len(coarse), CIN)),
        "kernel": rng.normal(size=(27, CIN, COUT)),
    }


def dense(features, coords, grid):
    """[N, C] at coords [N, 3] -> [1, X, Y, Z, C], zero elsewhere."""
    return jnp.zeros((1, *grid, features.shape[1])).at[0, *coords.T].set(features)


def dense_conv(features, kernel, coords, out_coords, grid, stride):
    """A dense convolution over the grid, read at the voxels of the result; kernel [x, y, z, Cin, Cout]."""
    padding = "SAME" if stride == 1 else "VALID"
    volume = lax.conv_general_dilated(
        dense(features, coords, grid), kernel, (stride,) * 3, padding, dimension_numbers=("NXYZC", "XYZIO", "NXYZC")
    )
    return volume[0, *out_coords.T]


def dense_transposed_conv(features, kernel, coords, out_coords, grid):
    volume = lax.conv_transpose(
        dense(features, coords, grid), kernel, (2,) * 3, "VALID", dimension_numbers=("NXYZC", "XYZIO", "NXYZC")
    )
    return volume[0, *out_coords.T]


def assert_same_value_and_grads(sparse, dense_form, features, kernel, out_rows, oracles):
    """Both as functions of (features, kernel): equal outputs and equal gradients for one random cotangent."""
    cotangent = np.random.default_rng(6).normal(size=(out_rows, COUT))
    want, pull_dense = jax.vjp(jax.jit(dense_form), features, kernel)
    out, pull = jax.vjp(jax.jit(sparse), features, kernel)
    np.testing.assert_allclose(out[:out_rows], want, rtol=0, atol=1e-12)
    got_grads = pull(jnp.asarray(oracles.padded(cotangent, len(out))))
    for got, expected in zip(got_grads, pull_dense(cotangent)):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_submanifold_convolution_equals_a_dense_one(problem, oracles):
    coords, rows = problem["coords"], len(problem["neighbours"])

    def sparse(x, w):
        return submanifold_conv(jnp.pad(x, ((0, rows - len(x)), (0, 0))), w, problem["neighbours"])

    def reference(x, w):
        by_axis = w.reshape(3, 3, 3, CIN, COUT).transpose(2, 1, 0, 3, 4)  # z, y, x with x fastest -> x, y, z
        return dense_conv(x, by_axis, coords, coords, GRID, 1)

    with jax.enable_x64(True):
        assert_same_value_and_grads(sparse, reference, problem["fine"], problem["kernel"], len(coords), oracles)


def test_strided_convolution_equals_a_dense_one(problem, oracles):
    coords, coarse, rows = problem["coords"], problem["coarse"], len(problem["slots"])

    def sparse(x, w):
        padded = jnp.pad(x, ((0, rows - len(x)), (0, 0)))
        return strided_conv(padded, w, problem["children"], problem["slots"])

    def reference(x, w):
        return dense_conv(x, w.reshape(2, 2, 2, CIN, COUT), coords, coarse, GRID, 2)

    with jax.enable_x64(True):
        assert_same_value_and_grads(sparse, reference, problem["fine"], problem["kernel"][:8], len(coarse), oracles)


def test_transposed_convolution_equals_a_dense_one(problem, oracles):
    coords, coarse, rows = problem["coords"], problem["coarse"], len(problem["children"])

    def sparse(x, w):
        padded = jnp.pad(x, ((0, rows - len(x)), (0, 0)))
        return transposed_conv(padded, w, problem["children"], problem["slots"])

    def reference(x, w):
        mirrored = w.reshape(2, 2, 2, CIN, COUT)[::-1, ::-1, ::-1]  # lax.conv_transpose correlates
        return dense_transposed_conv(x, mirrored, coarse, coords, tuple(n // 2 for n in GRID))

    with jax.enable_x64(True):
        features = problem["coarse_features"]
        assert_same_value_and_grads(sparse, reference, features, problem["kernel"][:8], len(coords), oracles)


def test_order_of_voxels_does_not_matter(problem, oracles):
    coords, rows = problem["coords"], len(problem["neighbours"])
    shuffle = np.random.default_rng(7).permutation(len(coords))
    with jax.enable_x64(True):
        straight = submanifold_conv(oracles.padded(problem["fine"], rows), problem["kernel"], problem["neighbours"])
        table = oracles.neighbour_table(coords[shuffle], rows)
        shuffled = submanifold_conv(oracles.padded(problem["fine"][shuffle], rows), problem["kernel"], table)
    np.testing.assert_allclose(shuffled[: len(coords)], straight[shuffle], rtol=0, atol=1e-13)


def test_transposed_is_the_transpose_of_strided(problem, oracles):
    """<down(x), y> = <x, up(y)> with the kernels' channels exchanged."""
    x = oracles.padded(problem["fine"], len(problem["slots"]))
    kernel = problem["kernel"][:8]
    with jax.enable_x64(True):
        down = strided_conv(x, kernel, problem["children"], problem["slots"])
        y = np.random.default_rng(8).normal(size=down.shape)
        y[len(problem["coarse"]) :] = 0
        up = transposed_conv(y, kernel.transpose(0, 2, 1), problem["children"], problem["slots"])
        np.testing.assert_allclose(jnp.vdot(down, y), jnp.vdot(x, up), rtol=1e-12)


def test_single_tap_kernels_shift_in_the_named_direction(oracles):
    """Two voxels side by side in x: tap (dx, dy, dz) = (1, 0, 0) is number 14 and carries the right one to the left."""
    table = oracles.neighbour_table(np.array([[4, 4, 4], [5, 4, 4]]), 3)
    x = np.array([[1.0], [10.0], [0.0]], np.float32)
    kernel = np.zeros((27, 1, 1), np.float32)
    kernel[14] = 1
    np.testing.assert_array_equal(submanifold_conv(x, kernel, table), [[10], [0], [0]])


def test_fused_form_is_refused_without_its_backend(problem, monkeypatch):
    """As in a version of JAX that has dropped Pallas' Triton: the reason is named, and no other form is taken."""
    monkeypatch.setattr(pallas, "triton", None)
    table = problem["neighbours"]
    features, kernel = np.zeros((len(table), 1), np.float32), np.zeros((27, 1, 1), np.float32)
    with pytest.raises(ValueError, match=f'"pallas" cannot be used: jax {jax.__version__} has no Triton backend'):
        submanifold_conv(features, kernel, table, method="pallas")
