"""What every device kernel promises: the fast form equals the plain one, padding is inert, no unsorted scatter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

from kernels.device.sparse_conv import pallas

CONVOLUTIONS = ("submanifold_conv", "strided_conv", "transposed_conv")
ATTENTIONS = ("attention_vertex", "attention_global")
SMOOTH = (*CONVOLUTIONS, *ATTENTIONS, "vector_attention", "edge_mean", "trilinear_read_out", "unpool", "mean_pool")
KERNELS = (*SMOOTH, "edge_max")


def value_and_grads(problem, cotangent=None, **options):
    """The output and the gradients of all inputs, in one jitted function."""

    @jax.jit
    def run(inputs, cotangent):
        out, pull = jax.vjp(lambda *a: problem.apply(*a, **options), *inputs)
        return out, *pull(cotangent)

    return [np.asarray(a) for a in run(problem.inputs, problem.cotangent if cotangent is None else cotangent)]


def assert_close(got, want, tolerance):
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


def real_parts(problem, outputs):
    """Output and gradients without their padding rows."""
    return [array[:rows] for array, rows in zip(outputs, (problem.out_rows, *problem.rows), strict=True)]


FAST_FORMS = [
    *((name, method) for name in (*CONVOLUTIONS, "trilinear_read_out") for method in ("xla", "blocked", "whole")),
    *((name, method) for name in ATTENTIONS for method in ("xla", "blocked")),
]


@pytest.mark.parametrize(("name", "method"), FAST_FORMS)
def test_fast_forms_equal_the_segment_sum_reference(case, name, method):
    problem = case(name)
    with jax.enable_x64(True):
        assert_close(value_and_grads(problem, method=method), value_and_grads(problem, method="segment_sum"), 1e-13)


@pytest.mark.parametrize("name", KERNELS)
def test_padding_rows_are_inert(case, name):
    """NaN in the cotangent's padding rows reaches nothing; padding rows are zero; growth of padding changes nothing."""
    small, large = case(name), case(name, 40)
    garbage = small.cotangent.copy()
    garbage[small.out_rows :] = np.nan
    with jax.enable_x64(True):
        clean, dirty, grown = value_and_grads(small), value_and_grads(small, garbage), value_and_grads(large)
    for a, b, rows in zip(clean, dirty, (small.out_rows, *small.rows), strict=True):
        np.testing.assert_array_equal(a, b)
        assert rows is None or not a[rows:].any()
    assert all(np.abs(a).max() > 0 for a in clean)
    assert_close(real_parts(large, grown), real_parts(small, clean), 1e-13)


def scatters(jaxpr: core.Jaxpr) -> list[tuple[str, bool]]:
    """(primitive, promises sorted indices) of every scatter in a jaxpr and in those inside it."""
    found = [
        (eqn.primitive.name, eqn.params["indices_are_sorted"])
        for eqn in jaxpr.eqns
        if eqn.primitive.name.startswith("scatter")
    ]
    return found + [scatter for inner in core.subjaxprs(jaxpr) for scatter in scatters(inner)]


@pytest.mark.parametrize("name", KERNELS)
def test_no_scatter_is_unsorted_forward_or_backward(case, name):
    problem = case(name)

    def run(inputs, cotangent):
        out, pull = jax.vjp(problem.apply, *inputs)
        return out, *pull(cotangent)

    with jax.enable_x64(True):
        found = scatters(jax.make_jaxpr(run)(problem.inputs, problem.cotangent).jaxpr)
    assert all(is_sorted for _, is_sorted in found), found
    assert not (name in CONVOLUTIONS and found)


def test_the_search_for_scatters_finds_one(case):
    """Autodiff of the plain reference does scatter, inside a jitted function."""
    problem = case("submanifold_conv")
    run = jax.grad(lambda x, w: problem.apply(x, w, method="segment_sum").sum())
    with jax.enable_x64(True):
        found = scatters(jax.make_jaxpr(run)(*problem.inputs).jaxpr)
    assert ("scatter-add", False) in found


@pytest.mark.parametrize("name", [*CONVOLUTIONS, "attention_global", "trilinear_read_out"])
def test_the_platform_of_lowering_chooses_the_form(case, name):
    """One program, lowered for CPU with loops over blocks and for a GPU without any."""
    problem = case(name)

    def run(inputs, cotangent):
        out, pull = jax.vjp(problem.apply, *inputs)
        return out, *pull(cotangent)

    with jax.enable_x64(True):
        traced = jax.jit(run).trace(problem.inputs, problem.cotangent)
        loops = [traced.lower(lowering_platforms=(p,)).as_text().count("stablehlo.while") for p in ("cpu", "cuda")]
    assert loops[0] > 0
    assert loops[1] == 0


@pytest.mark.parametrize("name", KERNELS)
def test_repeated_runs_give_the_same_bytes(case, name):
    problem = case(name)
    with jax.enable_x64(True):
        for a, b in zip(value_and_grads(problem), value_and_grads(problem), strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", KERNELS)
def test_vmap_over_features_equals_a_loop(case, name):
    """Tables are shared, features and weights carry a leading axis."""
    problem = case(name)
    with jax.enable_x64(True):
        two = [np.stack([array, -0.5 * array]) for array in problem.inputs]
        cotangents = np.stack([problem.cotangent, problem.cotangent])

        def run(inputs, cotangent):
            out, pull = jax.vjp(problem.apply, *inputs)
            return out, *pull(cotangent)

        mapped = jax.jit(jax.vmap(run))(two, cotangents)
        looped = [jax.jit(run)([array[i] for array in two], problem.cotangent) for i in range(2)]
        assert_close(mapped, [np.stack(pair) for pair in zip(*looped)], 1e-13)


@pytest.mark.parametrize("name", SMOOTH)  # a rounding may let another edge have the maximum
def test_float32_and_bfloat16_are_close_to_float64(case, name):
    """bfloat16 rounds inputs and results, sums are float32: 2^-8 for each of a few roundings."""
    problem = case(name)
    if name in ATTENTIONS:  # scores of 60 would turn a rounding into another argmax
        problem = problem._replace(inputs=(problem.inputs[0] / 12, *problem.inputs[1:]))
    with jax.enable_x64(True):
        exact = value_and_grads(problem)
    for dtype, tolerance in ((jnp.float32, 2e-6), (jnp.bfloat16, 0.03)):
        inputs = tuple(jnp.asarray(array, dtype) for array in problem.inputs)
        got = value_and_grads(problem._replace(inputs=inputs), jnp.asarray(problem.cotangent, dtype))
        assert all(array.dtype == dtype for array in got)
        assert_close([array.astype(np.float64) for array in got], exact, tolerance)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_float32_weights_of_a_bfloat16_convolution_get_a_float32_gradient(case, name):
    problem = case(name)
    x, kernel = (jnp.asarray(array, jnp.float32) for array in problem.inputs)
    mixed = problem._replace(inputs=(x.astype(jnp.bfloat16), kernel))
    out, dx, dw = value_and_grads(mixed, jnp.asarray(problem.cotangent, jnp.bfloat16))
    assert (out.dtype, dx.dtype, dw.dtype) == (jnp.bfloat16, jnp.bfloat16, jnp.float32)


def counting_case(case, name):
    """The convolution `name` of ones with ones, 300 channels in: every sum counts its terms, which bfloat16 can do up
    to 256 only."""
    problem = case(name)
    x, kernel = problem.inputs
    x = np.repeat(x[:, :1] != 0, 300, axis=1)
    return problem._replace(inputs=(x, np.ones((len(kernel), 300, 1)))), problem.cotangent[:, :1] != 0


FUSED = pytest.param(
    *("submanifold_conv", "pallas"),
    marks=pytest.mark.skipif(pallas.unsupported_reason() is not None, reason=str(pallas.unsupported_reason())),
)
SUMMING = [(name, method) for name in CONVOLUTIONS for method in ("blocked", "whole", "segment_sum")]


@pytest.mark.parametrize(("name", "method"), [*SUMMING, FUSED])
def test_bfloat16_is_summed_in_float32(case, name, method):
    """The output rounds once, from the exact count; the gradient of float32 weights is the exact count."""
    problem, cotangent = counting_case(case, name)
    x, kernel = problem.inputs
    inputs = jnp.asarray(x, jnp.bfloat16), jnp.asarray(kernel, jnp.float32)
    got = value_and_grads(problem._replace(inputs=inputs), jnp.asarray(cotangent, jnp.bfloat16), method=method)
    with jax.enable_x64(True):
        want = value_and_grads(
            problem._replace(inputs=(x.astype(np.float64), kernel)), cotangent.astype(np.float64), method="segment_sum"
        )
    assert want[0].max() >= 300
    np.testing.assert_array_equal(got[0].astype(np.float32), np.asarray(jnp.asarray(want[0], jnp.bfloat16), np.float32))
    if method != "segment_sum":  # which leaves its gradient to JAX
        assert got[2].dtype == np.float32
        np.testing.assert_array_equal(got[2], want[2])


@pytest.mark.parametrize("name", [*CONVOLUTIONS, *ATTENTIONS, "trilinear_read_out"])
def test_unknown_method_is_named(case, name):
    problem = case(name)
    with pytest.raises(ValueError, match="'fast' is unknown"):
        problem.apply(*problem.inputs, method="fast")


@pytest.mark.parametrize("name", KERNELS)
def test_tables_of_other_shapes_are_refused(case, name):
    """One row too few in every input that has rows."""
    problem = case(name)
    if name == "trilinear_read_out" or name == "unpool":
        inputs = (problem.inputs[0][0],)
    else:
        inputs = (problem.inputs[0][:-1], *problem.inputs[1:])
    with pytest.raises(AssertionError):
        problem.apply(*inputs)
