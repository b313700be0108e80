"""Normalisations and attention against NumPy, their derivatives, padding and devices; initial weights."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from kernels.host.batch.padding import join_rings
from kernels.host.mesh.rings import ring_table, rings_from_edges
from trainlib.run import parallel
from vmnet_jax.model.layers import (
    GraphLayerNorm,
    Linear,
    MaskedBatchNorm,
    StridedConv,
    SubmanifoldConv,
    TransformerConv,
    TransposedConv,
)
from vmnet_jax.model.scene_batch import MeshGraph

CHANNELS = 6


def padded(rows: np.ndarray, total: int) -> np.ndarray:
    return np.concatenate([rows, np.zeros((total - len(rows), rows.shape[1]), rows.dtype)])


def random_affine(rng: np.random.Generator, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {"scale": 1 + 0.2 * rng.standard_normal(shape), "bias": 0.3 * rng.standard_normal(shape)}


def batch_norm_variables(rng: np.random.Generator) -> dict:
    stats = {"mean": rng.standard_normal(CHANNELS), "var": np.exp(rng.standard_normal(CHANNELS))}
    return {"params": random_affine(rng, (CHANNELS,)), "batch_stats": stats}


@functools.partial(jax.jit, static_argnames="axis_name")
def batch_norm_train(variables, x, count, axis_name=None):
    return MaskedBatchNorm(axis_name=axis_name).apply(variables, x, count, True, mutable="batch_stats")


def initialised(layer: nn.Module, *arguments, method: str = "init"):
    """The layer's random variables, or what another method of it gives for a key, by one program."""
    return jax.jit(lambda key: getattr(layer, method)(key, *arguments))(jax.random.key(2))


def test_batch_norm_by_hand():
    rng = np.random.default_rng(0)
    variables, real = batch_norm_variables(rng), 3 + 2 * rng.standard_normal((20, CHANNELS))
    with jax.enable_x64(True):
        y, updated = batch_norm_train(variables, padded(real, 31), 20)
        evaluated = MaskedBatchNorm().apply(variables, padded(real, 31), 20, False)
    affine, stats = variables["params"], variables["batch_stats"]
    expected = (real - real.mean(0)) / np.sqrt(real.var(0) + 1e-5) * affine["scale"] + affine["bias"]
    np.testing.assert_allclose(y, padded(expected, 31), atol=1e-12)
    new = updated["batch_stats"]
    np.testing.assert_allclose(new["mean"], 0.9 * stats["mean"] + 0.1 * real.mean(0), rtol=1e-12)
    np.testing.assert_allclose(new["var"], 0.9 * stats["var"] + 0.1 * real.var(0, ddof=1), rtol=1e-12)
    expected = (real - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * affine["scale"] + affine["bias"]
    np.testing.assert_allclose(evaluated, padded(expected, 31), atol=1e-12)


def test_batch_norm_far_from_zero():
    """Mean 1e4, deviation 1, in float32: the variance does not cancel."""
    rng = np.random.default_rng(1)
    real = (1e4 + rng.standard_normal((500, CHANNELS))).astype(np.float32)
    variables = initialised(MaskedBatchNorm(), real, 1, True)
    y, updated = batch_norm_train(variables, padded(real, 600), 500)
    wide = real.astype(np.float64)
    np.testing.assert_allclose(y[:500], (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5), atol=1e-5)
    np.testing.assert_allclose(updated["batch_stats"]["var"], 0.9 + 0.1 * wide.var(0, ddof=1), rtol=1e-5)


def test_batch_norm_derivative():
    rng = np.random.default_rng(2)
    variables, x = batch_norm_variables(rng), padded(rng.standard_normal((9, CHANNELS)), 12)
    with jax.enable_x64(True):

        def weighted(params, x):
            y, _ = batch_norm_train({**variables, "params": params}, x, 9)
            return (y * jnp.sin(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)).sum()

        check_grads(jax.jit(weighted), (variables["params"], x), order=1, modes=["rev"], atol=1e-6, rtol=1e-6)
        assert not jax.jit(jax.grad(weighted, argnums=1))(variables["params"], x)[9:].any()


@pytest.mark.parametrize("count", [0, 1])
def test_batch_norm_of_hardly_any_rows_is_finite(count):
    x = padded(np.ones((count, CHANNELS), np.float32), 4)
    variables = initialised(MaskedBatchNorm(), x, count, True)
    (y, updated), gradient = (
        batch_norm_train(variables, x, count),
        jax.grad(lambda x: batch_norm_train(variables, x, count)[0].sum())(x),
    )
    for array in (y, gradient, *jax.tree.leaves(updated)):
        assert np.isfinite(array).all()


@pytest.mark.parametrize("devices", [False, True], ids=["one", "devices"])
@pytest.mark.parametrize("count", [0, 1])
def test_batch_norm_of_hardly_any_rows_keeps_the_running_statistics(count, devices):
    """No rows say nothing about mean or variance, a single one nothing about the variance."""
    variables = batch_norm_variables(np.random.default_rng(8))
    x = padded(np.full((count, CHANNELS), 5.0), 4)
    if devices:
        number = parallel.num_local_devices()
        counts, x = np.array([count] + [0] * (number - 1)), np.stack([x] * number)
        train = parallel.pmap_step(
            lambda v, x, n: batch_norm_train(v, x, n, axis_name=parallel.AXIS)[1], in_axes=(None, 0, 0)
        )
        new = parallel.to_host(train(parallel.to_devices(variables), x, counts))["batch_stats"]
    else:
        new = batch_norm_train(variables, x, count)[1]["batch_stats"]
    old = variables["batch_stats"]
    np.testing.assert_allclose(new["mean"], old["mean"] if not count else 0.9 * old["mean"] + 0.5, rtol=1e-6)
    np.testing.assert_allclose(new["var"], old["var"], rtol=1e-6)


def test_batch_norm_over_devices():
    """Uneven shares, one of them empty, give what one device with all rows gives: values, statistics, gradients."""
    rng, counts = np.random.default_rng(3), np.array([7, 0, 11, 4], np.int32)
    variables = batch_norm_variables(rng)
    shares = [1 + rng.standard_normal((n, CHANNELS)) for n in counts]

    def step(variables, x, count, axis_name=None):
        def loss_fn(x):
            y, updated = batch_norm_train(variables, x, count, axis_name=axis_name)
            return jnp.square(y).sum() + y[:, 0].sum(), (y, updated)

        return jax.grad(loss_fn, has_aux=True)(x)

    with jax.enable_x64(True):
        spread = parallel.pmap_step(functools.partial(step, axis_name=parallel.AXIS), in_axes=(None, 0, 0), out_axes=0)
        x = jnp.stack([padded(s, 12) for s in shares])
        gradients, (values, updated) = spread(parallel.to_devices(variables), x, counts)
        gradient, (value, expected) = jax.jit(step)(variables, np.concatenate(shares), counts.sum())
    for ours, theirs in ((gradients, gradient), (values, value)):
        joined = np.concatenate([part[:n] for part, n in zip(ours, counts)])
        np.testing.assert_allclose(joined, theirs, atol=1e-12)
    for name in ("mean", "var"):
        ours = updated["batch_stats"][name]
        np.testing.assert_allclose(ours, np.broadcast_to(expected["batch_stats"][name], ours.shape), rtol=1e-12)


def graph_of(
    scene_sizes: list[int], rows: int, rng: np.random.Generator, width: int = 3
) -> tuple[MeshGraph, np.ndarray]:
    """A random graph in every scene, vertices without edges among them, and its kept edges bool [rows, rows]."""
    tables = []
    for size in scene_sizes:
        ends = rng.integers(0, max(size - 1, 1), (2, 3 * size)) if size else np.zeros((2, 0), np.int64)
        tables.append(ring_table(rings_from_edges(*ends.astype(np.int32), size), width))
    rings = join_rings(tables, rows, sum(len(t.overflow_target) for t in tables) + 4)
    kept = np.zeros((rows, rows), bool)
    keep, start = np.zeros(rings.ring.size + len(rings.overflow_target), bool), 0
    target, source = np.repeat(np.arange(rows), width), rings.ring.ravel()
    target, source = np.append(target, rings.overflow_target), np.append(source, rings.overflow_source)
    keep = (source != rows - 1) & (rng.random(len(source)) < 0.8)
    kept[target[keep], source[keep]] = True
    scene = np.full(rows, len(scene_sizes), np.int32)
    for index, size in enumerate(scene_sizes):
        scene[start : start + size] = index
        start += size
    return MeshGraph(rings, keep, scene, len(scene_sizes)), kept


def layer_norm_by_hand(x: np.ndarray, affine: dict) -> np.ndarray:
    return (x - x.mean()) / (x.std() + 1e-5) * affine["scale"] + affine["bias"]


@pytest.mark.parametrize("scope", ["scene", "batch"])
def test_layer_norm_by_hand(scope):
    rng, sizes = np.random.default_rng(4), [9, 1, 14]
    graph, _ = graph_of(sizes, 30, rng)
    parts = [offset + rng.standard_normal((n, CHANNELS)) for n, offset in zip(sizes, (0, 5, -3))]
    affine = random_affine(rng, ())
    groups = parts if scope == "scene" else [np.concatenate(parts)]
    expected = padded(np.concatenate([layer_norm_by_hand(part, affine) for part in groups]), 30)
    with jax.enable_x64(True):
        y = jax.jit(lambda x: GraphLayerNorm(scope).apply({"params": affine}, x, graph))(
            padded(np.concatenate(parts), 30)
        )
    np.testing.assert_allclose(y, expected, atol=1e-12)


@pytest.mark.parametrize("scope", ["scene", "batch"])
def test_layer_norm_derivative(scope):
    rng = np.random.default_rng(5)
    graph, _ = graph_of([4, 3], 9, rng)
    x, affine = padded(rng.standard_normal((7, 2)), 9), random_affine(rng, ())
    with jax.enable_x64(True):

        def weighted(params, x):
            y = GraphLayerNorm(scope).apply({"params": params}, x, graph)
            return (y * jnp.sin(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)).sum()

        check_grads(jax.jit(weighted), (affine, x), order=1, modes=["rev"], atol=1e-6, rtol=1e-6)
        assert not jax.jit(jax.grad(weighted, argnums=1))(affine, x)[7:].any()


@pytest.mark.parametrize("scope", ["scene", "batch"])
def test_layer_norm_of_constant_and_empty_scenes(scope):
    """A deviation of zero gives the bias and finite gradients."""
    graph, _ = graph_of([5, 0, 3], 12, np.random.default_rng(6))
    x = padded(np.full((8, CHANNELS), 2.5, np.float32), 12)
    params = {"scale": jnp.float32(1.3), "bias": jnp.float32(0.4)}
    norm = GraphLayerNorm(scope)

    @functools.partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def total(params, x):
        y = norm.apply({"params": params}, x, graph)
        return y.sum(), y

    (_, y), gradients = jax.jit(total)(params, x)
    np.testing.assert_allclose(y[:8], 0.4, rtol=1e-6)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))


def test_layer_norm_of_a_batch_over_devices():
    rng, sizes = np.random.default_rng(7), [6, 0, 9, 2]
    affine, shares = random_affine(rng, ()), [rng.standard_normal((n, CHANNELS)) for n in sizes]
    graph, _ = graph_of(sizes, sum(sizes) + 1, rng)
    scenes = np.stack([np.where(np.arange(10) < n, 0, 1) for n in sizes]).astype(np.int32)

    def loss(x, graph, axis_name=None):
        y = GraphLayerNorm("batch", axis_name=axis_name).apply({"params": affine}, x, graph)
        return (jnp.square(y) * y[:, :1]).sum(), y

    def share(x, scene):
        own = MeshGraph(graph.rings, graph.keep, scene, 1)
        return jax.grad(loss, has_aux=True)(x, own, parallel.AXIS)

    with jax.enable_x64(True):
        gradients, values = parallel.pmap_step(share, in_axes=(0, 0), out_axes=0)(
            jnp.stack([padded(s, 10) for s in shares]), scenes
        )
        together = jax.jit(lambda x: jax.grad(loss, has_aux=True)(x, graph))
        gradient, value = together(padded(np.concatenate(shares), sum(sizes) + 1))
    for ours, theirs in ((gradients, gradient), (values, value)):
        joined = np.concatenate([part[:n] for part, n in zip(ours, sizes)])
        np.testing.assert_allclose(joined, theirs[:-1], atol=1e-12)


@pytest.mark.parametrize("norm", [MaskedBatchNorm, GraphLayerNorm])
def test_norm_with_relu_is_the_norm_and_then_relu(norm):
    """Values, running statistics and derivatives, with the cotangent's padding rows not zero."""
    rng = np.random.default_rng(11)
    graph, _ = graph_of([5, 7], 16, rng)
    x, cotangent = padded(rng.standard_normal((12, CHANNELS)), 16), rng.standard_normal((16, CHANNELS))
    arguments = (12, True) if norm is MaskedBatchNorm else (graph,)
    affine = random_affine(rng, (CHANNELS,) if norm is MaskedBatchNorm else ())

    def apply(relu, affine, x):
        module = norm(relu=relu)
        rest = {k: v for k, v in module.init(jax.random.key(0), x, *arguments).items() if k != "params"}
        y, updated = module.apply({"params": affine, **rest}, x, *arguments, mutable="batch_stats")
        return (y if relu else nn.relu(y)), updated

    with jax.enable_x64(True):
        fused, fused_pull, fused_stats = jax.vjp(jax.jit(functools.partial(apply, True)), affine, x, has_aux=True)
        plain, plain_pull, plain_stats = jax.vjp(jax.jit(functools.partial(apply, False)), affine, x, has_aux=True)
        assert 0 < (np.asarray(fused[:12]) == 0).mean() < 1
        chex.assert_trees_all_close(fused, plain, atol=1e-14)
        chex.assert_trees_all_close(fused_stats, plain_stats, atol=0)
        chex.assert_trees_all_close(fused_pull(cotangent), plain_pull(cotangent), atol=1e-12)


def test_layer_norm_refuses_other_scopes():
    graph, _ = graph_of([2], 3, np.random.default_rng(8))
    with pytest.raises(ValueError, match="'scene' or 'batch', got 'vertex'"):
        GraphLayerNorm("vertex").init(jax.random.key(0), np.ones((3, 2), np.float32), graph)


@pytest.mark.parametrize("shift", ["vertex", "global"])
def test_transformer_conv_by_hand(shift):
    rng, rows, real = np.random.default_rng(9), 26, 22
    graph, kept = graph_of([13, 9], rows, rng)
    source, target = (padded(rng.standard_normal((real, n)), rows) for n in (5, 4))
    layer = TransformerConv(CHANNELS, shift)
    with jax.enable_x64(True):
        params = initialised(layer, source, target, graph)["params"]
        y = jax.jit(lambda params: layer.apply({"params": params}, source, target, graph))(params)

    def linear(name, x):
        return x @ np.asarray(params[name]["kernel"], np.float64) + np.asarray(params[name]["bias"], np.float64)

    query, key, value = linear("query", target), linear("key", source), linear("value", source)
    expected = linear("skip", target)
    lonely = 0
    for vertex in range(real):
        around = np.flatnonzero(kept[vertex])
        lonely += not len(around)
        scores = np.exp(key[around] @ query[vertex] / np.sqrt(CHANNELS))
        expected[vertex] += (scores / scores.sum() if len(around) else scores) @ value[around]
    expected[real:] = 0
    assert lonely
    assert kept.sum(1).max() > graph.rings.ring.shape[1]
    np.testing.assert_allclose(y, expected, atol=1e-7)


def test_computation_in_half_precision_keeps_parameters_and_statistics_in_float32():
    rng = np.random.default_rng(10)
    graph, _ = graph_of([6], 8, rng)
    x = padded(rng.standard_normal((6, CHANNELS)).astype(np.float32), 8)
    for layer, arguments in (
        (Linear(3, dtype=jnp.bfloat16), (x,)),
        (MaskedBatchNorm(dtype=jnp.bfloat16), (x, 6, True)),
        (GraphLayerNorm(dtype=jnp.bfloat16), (x, graph)),
        (TransformerConv(3, dtype=jnp.bfloat16), (x, x, graph)),
    ):
        y, variables = initialised(layer, *arguments, method="init_with_output")
        assert y.dtype == jnp.bfloat16
        assert {a.dtype for a in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


def test_initial_weights():
    """Uniform within 1 / sqrt of the fan of torch and torchsparse; ones and zeros in the normalisations."""
    x, table = np.zeros((9, 16), np.float32), np.full((9, 27), 8, np.int32)
    children, slots = np.full((9, 8), 8, np.int32), np.full(9, 64, np.int32)
    for layer, arguments, bound in (
        (Linear(400), (x,), 16**-0.5),
        (SubmanifoldConv(30), (x, table), (27 * 16) ** -0.5),
        (StridedConv(30), (x, children, slots), (8 * 16) ** -0.5),
        (TransposedConv(25), (x, children, slots), 25**-0.5),
    ):
        for values in jax.tree.leaves(initialised(layer, *arguments)):
            assert 0.98 * bound < np.abs(values).max() <= bound
            np.testing.assert_allclose(np.std(values), bound / np.sqrt(3), rtol=0.1)
            assert abs(np.mean(values)) < 0.1 * bound
    norms: list[nn.Module] = [MaskedBatchNorm(), GraphLayerNorm()]
    graph, _ = graph_of([8], 9, np.random.default_rng(0))
    for norm, arguments in zip(norms, ((x, 8, True), (x, graph))):
        params = initialised(norm, *arguments)["params"]
        assert (params["scale"] == 1).all()
        assert (params["bias"] == 0).all()
