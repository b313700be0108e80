"""The trilinear read-out and the sums of pooling by the Numba kernels, against sums written out in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.cpu_ffi import bind
from kernels.cpu_ffi.runtime.availability import unsupported_machine_reason
from kernels.device.pooling import mean_pool, unpool
from kernels.device.segment_sum import gather_segment_sum
from kernels.device.trilinear import trilinear_read_out
from kernels.host.tables import Trace, Trilinear

pytestmark = pytest.mark.skipif(unsupported_machine_reason() is not None, reason=str(unsupported_machine_reason()))

VERTICES, VOXELS = 700, 600
"""Three tiles of rows in each direction, the last one ragged."""


def make_tables(padding=9, seed=1):
    """Corners, weights and the sorted form. Voxel 5 is a corner of 400 vertices, voxel 7 of none."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, VOXELS, (VERTICES, 8))
    corners[:400, 3] = 5
    present = (rng.random((VERTICES, 8)) < 0.6) & (corners != 7)
    present[11] = False
    table = np.full((VERTICES + padding, 8), VOXELS + padding - 1, np.int32)
    table[:VERTICES] = np.where(present, corners, table[-1, -1])
    weights = np.zeros(table.shape, np.float32)
    weights[:VERTICES] = rng.random((VERTICES, 8)) * present
    return Trilinear(table, weights, *sorted_form(table))


def sorted_form(table):
    order = np.argsort(table.ravel(), kind="stable").astype(np.int32)
    return order, table.ravel()[order]


def rows(count, width, padding=9, seed=2):
    values = np.random.default_rng(seed).normal(size=(count, width))
    return np.concatenate([values, np.zeros((padding, width))]).astype(np.float32)


def run(features, cotangent, tables, method="numba"):
    """Output and gradient, as NumPy arrays."""

    @jax.jit
    def value_and_grad(features, cotangent):
        out, pull = jax.vjp(lambda x: trilinear_read_out(x, tables, method=method), features)
        return out, *pull(cotangent)

    return [np.asarray(array) for array in value_and_grad(features, cotangent)]


@pytest.mark.parametrize("width", [32, 96, 5, 70])
def test_equals_the_sums_in_float64(width):
    tables = make_tables()
    features, cotangent = rows(VOXELS, width), rows(VERTICES, width)
    corners, weights = tables[0], tables[1].astype(np.float64)
    gradient = np.zeros(features.shape)
    np.add.at(gradient, corners, weights[:, :, None] * cotangent[:, None].astype(np.float64))
    want = np.einsum("vk,vkc->vc", weights, features[corners].astype(np.float64)), gradient
    assert (corners == 5).sum() > 256
    assert not gradient[7].any()
    for got, expected in zip(run(features, cotangent, tables), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_padding_is_inert():
    """More padding changes no byte of a real row; NaN in the cotangent's padding reaches nothing."""
    out, grad = run(rows(VOXELS, 24), rows(VERTICES, 24), make_tables())
    grown, grown_grad = run(rows(VOXELS, 24, 300), rows(VERTICES, 24, 300), make_tables(300))
    assert out[:VERTICES].tobytes() == grown[:VERTICES].tobytes()
    assert grad[:VOXELS].tobytes() == grown_grad[:VOXELS].tobytes()
    assert not grown[VERTICES:].any()
    assert not grown_grad[VOXELS:].any()
    garbage = rows(VERTICES, 24)
    garbage[VERTICES:] = np.nan
    assert run(rows(VOXELS, 24), garbage, make_tables())[1].tobytes() == grad.tobytes()


@pytest.mark.parametrize("bad", [-1, -(2**31), 10**6, 2**31 - 1])
def test_entries_out_of_range_count_as_absent(bad):
    corners, weights, order, segments = make_tables()
    hit = np.random.default_rng(4).random(corners.shape) < 0.2
    wrong = np.where(hit, bad, corners).astype(np.int32)
    absent = np.where(hit, corners[-1, -1], corners)
    features, cotangent = rows(VOXELS, 24), rows(VERTICES, 24)
    got = run(features, cotangent, Trilinear(wrong, weights, order, segments))[0]
    assert got.tobytes() == run(features, cotangent, Trilinear(absent, weights, order, segments))[0].tobytes()
    lost = np.random.default_rng(5).random(order.shape) < 0.2
    weights_without = weights.copy()
    weights_without.reshape(-1)[order[lost]] = 0
    wrong = Trilinear(corners, weights, np.where(lost, bad, order).astype(np.int32), segments)
    got = run(features, cotangent, wrong)[1]
    want = run(features, cotangent, Trilinear(corners, weights_without, order, segments))[1]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6 * np.abs(want).max())


def test_vmap_equals_a_loop():
    tables = make_tables()
    features, cotangent = rows(VOXELS, 24), rows(VERTICES, 24)

    def value_and_grad(x, g):
        out, pull = jax.vjp(lambda x: trilinear_read_out(x, tables), x)
        return out, *pull(g)

    mapped = jax.vmap(value_and_grad)(np.stack([features, -features]), np.stack([cotangent, 2 * cotangent]))
    for i, sign in enumerate((1, -1)):
        for got, want in zip(mapped, run(sign * features, (i + 1) * cotangent, tables), strict=True):
            assert np.asarray(got[i]).tobytes() == want.tobytes()


def test_pooling_takes_them():
    """Sums of whole numbers, so that the order of adding does not matter."""
    trace = np.random.default_rng(6).integers(0, 90, VERTICES + 1).astype(np.int32)
    trace[-1] = 90
    table = Trace(trace, *sorted_form(trace))
    fine, coarse = np.round(9 * rows(VERTICES, 40, 1)), np.round(9 * rows(90, 40, 1))

    def both(fine, coarse):
        pooled = mean_pool(fine, table, num_coarse=91)
        return pooled, jax.vjp(lambda x: unpool(x, table), coarse)[1](fine)[0]

    lowered = jax.jit(both).lower(fine, coarse)
    assert lowered.as_text().count("kernels_cpu_") == 2
    want = np.zeros((91, 40))
    np.add.at(want, trace, fine)
    got = lowered.compile()(fine, coarse)
    np.testing.assert_array_equal(got[1][:90], want[:90])
    np.testing.assert_allclose(got[0][:90], want[:90] / np.bincount(trace)[:90, None], rtol=1e-6, atol=1e-30)


def test_the_segment_of_the_padding_is_not_summed():
    """Its row is zero as the kernel leaves it."""
    order, segments = np.array([0, 1, 2], np.int32), np.array([0, 0, 1], np.int32)
    out = bind.segment_sum(jnp.ones((3, 16)), None, order, segments, num_segments=2, fan=1)
    np.testing.assert_array_equal(out, np.repeat([[2.0], [0.0]], 16, axis=1))


def test_a_fan_that_is_no_power_of_two_is_refused():
    order = np.zeros(3, np.int32)
    with pytest.raises(ValueError, match="not 3"):
        gather_segment_sum(jnp.ones((1, 4)), None, order, order, 2, fan=3, method="numba")
