"""The fused Pallas kernels of the submanifold convolution, in Pallas' interpreter, and their lowering for a GPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.device.sparse_conv import pallas
from kernels.device.sparse_conv.api import submanifold_conv

pytestmark = pytest.mark.skipif(pallas.unsupported_reason() is not None, reason=str(pallas.unsupported_reason()))

SMALL, WIDE = (6, 10), (70, 40)
"""Channels in and out: less than a block, and two blocks of columns in."""


@pytest.fixture(scope="module", autouse=True)
def several_parts():
    """Partial sums of the weight gradient also for a hundred rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pallas, "PART_ROWS", 64)
        yield


@pytest.fixture(scope="module")
def table(oracles):
    """table(padding) -> neighbours of 171 voxels in random order, in three ragged blocks of rows."""
    coords = np.argwhere(np.random.default_rng(1).random((7, 7, 7)) < 0.5)
    np.random.default_rng(2).shuffle(coords)
    return lambda padding=9: (len(coords), oracles.neighbour_table(coords, len(coords) + padding))


def make_inputs(count, rows, widths, seed=3):
    rng = np.random.default_rng(seed)
    cin, cout = widths
    x, cotangent = np.zeros((rows, cin)), np.zeros((rows, cout))
    kernel = rng.normal(size=(27, cin, cout))
    x[:count], cotangent[:count] = rng.normal(size=(count, cin)), rng.normal(size=(count, cout))
    return x, kernel, cotangent


def run(inputs, neighbours, method="pallas", dtype=np.float32):
    """Output, dx and dW as NumPy arrays."""
    arrays = [jnp.asarray(array, dtype) for array in inputs]

    @jax.jit
    def value_and_grads(x, kernel, cotangent):
        out, pull = jax.vjp(lambda x, w: submanifold_conv(x, w, neighbours, method=method), x, kernel)
        return out, *pull(cotangent)

    return [np.asarray(array) for array in value_and_grads(*arrays)]


def reference(inputs, neighbours):
    with jax.enable_x64(True):
        return run(inputs, neighbours, "segment_sum", np.float64)


@pytest.mark.parametrize("widths", [SMALL, WIDE])
def test_equals_the_reference_in_float64(table, widths):
    count, neighbours = table()
    inputs = make_inputs(count, len(neighbours), widths)
    for got, want in zip(run(inputs, neighbours), reference(inputs, neighbours), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=2e-6 * np.abs(want).max())


def test_bfloat16_rounds_only_what_goes_in_and_out(table):
    """Against float64 sums of the rounded inputs: half a unit in the last place of the results."""
    count, neighbours = table()
    rounded = [np.asarray(jnp.asarray(a, jnp.bfloat16), np.float64) for a in make_inputs(count, len(neighbours), SMALL)]
    got = run(rounded, neighbours, dtype=jnp.bfloat16)
    for a, b in zip(got, reference(rounded, neighbours), strict=True):
        assert a.dtype == "bfloat16"
        np.testing.assert_allclose(a.astype(np.float64), b, rtol=2**-8, atol=2e-6 * np.abs(b).max())


def test_padding_is_inert(table):
    """More padding changes no byte of a real row of values; NaN in the cotangent's padding reaches nothing."""
    (count, small), (_, large) = table(), table(100)
    inputs = make_inputs(count, len(small), SMALL)
    out, dx, dw = run(inputs, small)
    garbage = inputs[2].copy()
    garbage[count:] = np.nan
    for a, b in zip(run((*inputs[:2], garbage), small), (out, dx, dw), strict=True):
        np.testing.assert_array_equal(a, b)
    grown, grown_dx, grown_dw = run(make_inputs(count, len(large), SMALL), large)
    np.testing.assert_array_equal(grown[:count], out[:count])
    np.testing.assert_array_equal(grown_dx[:count], dx[:count])
    np.testing.assert_allclose(grown_dw, dw, rtol=0, atol=2e-6 * np.abs(dw).max())
    assert not grown[count:].any()
    assert not grown_dx[count:].any()


def test_vmap_equals_a_loop(table):
    count, neighbours = table()
    x, kernel, cotangent = (np.float32(array) for array in make_inputs(count, len(neighbours), SMALL))

    @jax.jit
    @jax.vmap
    def mapped(x, kernel):
        out, pull = jax.vjp(lambda x, w: submanifold_conv(x, w, neighbours, method="pallas"), x, kernel)
        return out, *pull(cotangent)

    outputs = mapped(np.stack([x, -x]), np.stack([kernel, 2 * kernel]))
    for i, scale in enumerate((1, 2)):
        for got, want in zip(outputs, run(((-1) ** i * x, scale * kernel, cotangent), neighbours), strict=True):
            np.testing.assert_allclose(got[i], want, rtol=0, atol=1e-6 * np.abs(want).max())


# jax 0.11 announces the end of its Triton backend
@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated:DeprecationWarning")
@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
@pytest.mark.parametrize("widths", [SMALL, (96, 96)])
def test_lowers_to_triton_for_a_gpu_and_to_the_interpreter_for_cpu(table, widths, dtype):
    """Without a GPU in the machine; three kernels, and nothing gathers outside of them."""
    count, neighbours = table()
    arrays = [jnp.asarray(array, dtype) for array in make_inputs(count, len(neighbours), widths)]

    def value_and_grads(x, kernel, cotangent):
        out, pull = jax.vjp(lambda x, w: submanifold_conv(x, w, neighbours, method="pallas"), x, kernel)
        return out, *pull(cotangent)

    device = jax.sharding.AbstractDevice("NVIDIA H100 80GB HBM3", 132, "gpu")
    with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), (), abstract_device=device)):
        traced = jax.jit(value_and_grads).trace(*arrays)
        gpu, cpu = (traced.lower(lowering_platforms=(name,)).as_text() for name in ("cuda", "cpu"))
    assert gpu.count("@__gpu$xla.gpu.triton") == 3
    assert "stablehlo.gather" not in gpu
    assert "triton" not in cpu


def test_other_types_are_refused(table):
    count, neighbours = table()
    inputs = make_inputs(count, len(neighbours), SMALL)
    with jax.enable_x64(True), pytest.raises(ValueError, match="not float64"):
        run(inputs, neighbours, dtype=np.float64)
