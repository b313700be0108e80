"""The operators that stand for the network's attention, against loops over the vertices; statistics over edges."""

import jax
import numpy as np
import pytest

from tests.vmnet_jax.model.test_layers import graph_of, padded
from vmnet_jax.model.aggregators import EdgeConv, EdgeLinear, VectorAttention
from vmnet_jax.model.dcm import MeanEdgeConv
from vmnet_jax.model.geodesic import AttentionBlock
from vmnet_jax.model.layers import MaskedBatchNorm

CHANNELS, ROWS, REAL = 5, 25, 21


@pytest.fixture(scope="module")
def problem():
    """A graph of two scenes, its kept edges bool [ROWS, ROWS] (target, source), source and target features."""
    rng = np.random.default_rng(0)
    graph, kept = graph_of([12, 9], ROWS, rng)
    source, target = (padded(rng.standard_normal((REAL, CHANNELS)), ROWS) for _ in range(2))
    assert (kept[:REAL].sum(1) == 0).any()
    return graph, kept, source, target


def initialised(layer, *arguments):
    """Output and parameters of a layer with random parameters, in float64."""
    with jax.enable_x64(True):
        params = jax.jit(lambda key: layer.init(key, *arguments))(jax.random.key(1))["params"]
        params = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
        return np.asarray(jax.jit(lambda params: layer.apply({"params": params}, *arguments))(params)), params


def linear(params, x):
    return x @ params["kernel"] + params["bias"]


def relu(x):
    return np.maximum(x, 0)


def test_vector_attention_by_hand(problem):
    graph, kept, source, target = problem
    y, params = initialised(VectorAttention(CHANNELS), source, target, graph)
    query, key = linear(params["query"], target), linear(params["key"], source)
    value, expected = linear(params["value"], source), linear(params["skip"], target)
    for i in range(REAL):
        around = np.flatnonzero(kept[i])
        if len(around):
            scores = linear(params["weight_1"], relu(linear(params["weight_0"], query[i] - key[around])))
            weights = np.exp(scores) / np.exp(scores).sum(0)
            expected[i] += (weights * value[around]).sum(0)
    expected[REAL:] = 0
    np.testing.assert_allclose(y, expected, atol=1e-12)


def test_edge_conv_by_hand(problem):
    graph, kept, source, target = problem
    y, params = initialised(EdgeConv(CHANNELS), source, target, graph)
    expected = np.zeros_like(y)
    for i in range(REAL):
        around = np.flatnonzero(kept[i])
        if len(around):
            pairs = np.concatenate([np.repeat(target[i : i + 1], len(around), 0), source[around] - target[i]], 1)
            hidden = relu(linear(params["linear_0"], pairs))
            expected[i] = linear(params["linear_1"], hidden).max(0)
    np.testing.assert_allclose(y, expected, atol=1e-12)


def batch_norm(x, epsilon=1e-5):
    return (x - x.mean(0)) / np.sqrt(x.var(0) + epsilon)


@pytest.mark.parametrize("relative", [False, True])
def test_mean_edge_conv_by_hand(problem, relative):
    """With the statistics of all kept edges of the batch."""
    graph, kept, x, _ = problem
    layer = MeanEdgeConv(3, relative)
    with jax.enable_x64(True):
        variables = jax.jit(lambda key: layer.init(key, x, graph, False))(jax.random.key(2))
        y, _ = jax.jit(lambda given: layer.apply(given, x, graph, True, mutable="batch_stats"))(variables)
    first, second = (np.asarray(variables["params"][name]["kernel"], np.float64) for name in ("linear_0", "linear_1"))
    target, source = np.nonzero(kept)
    pairs = x[source] - x[target] if relative else np.concatenate([x[target], x[source] - x[target]], 1)
    values = batch_norm(relu(batch_norm(pairs @ first)) @ second)
    expected = np.zeros((ROWS, 3))
    for i in set(target.tolist()):
        expected[i] = values[target == i].mean(0)
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_relative_edges_do_not_see_a_shift(problem):
    graph, _, x, _ = problem
    y, params = initialised(EdgeLinear(4, relative=True), x, x, graph)
    with jax.enable_x64(True):
        shifted = jax.jit(lambda x: EdgeLinear(4, relative=True).apply({"params": params}, x, x, graph))(x + 7)
    real = np.flatnonzero(graph.keep)
    np.testing.assert_allclose(np.asarray(shifted)[real], y[real], atol=1e-12)


def test_a_mask_of_rows_gives_what_leading_rows_give():
    rng = np.random.default_rng(3)
    x, mask = rng.standard_normal((20, CHANNELS)), rng.random(20) < 0.6
    norm = MaskedBatchNorm()
    leading = np.concatenate([x[mask], x[~mask]])
    with jax.enable_x64(True):
        variables = jax.jit(lambda key: norm.init(key, x, mask, False))(jax.random.key(0))
        train = jax.jit(lambda x, rows: norm.apply(variables, x, rows, True, mutable="batch_stats"))
        (masked, new), (counted, same) = train(x, mask), train(leading, mask.sum())
    np.testing.assert_allclose(np.asarray(masked)[mask], counted[: mask.sum()], atol=1e-12)
    assert not np.asarray(masked)[~mask].any()
    for a, b in zip(jax.tree.leaves(new), jax.tree.leaves(same), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_unknown_operator_is_named(problem):
    graph, _, source, target = problem
    with pytest.raises(ValueError, match="operator is 'max', known are scalar, vector, edgeconv"):
        AttentionBlock(4, operator="max").init(jax.random.key(0), source, target, graph)
