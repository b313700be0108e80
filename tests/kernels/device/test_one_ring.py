"""Values on edges against loops over Python dictionaries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from kernels.device.one_ring import (
    edge_mask,
    gather_sources,
    gather_targets,
    one_ring_max,
    one_ring_mean,
    one_ring_vector_attention,
)

COUNT, ROWS, WIDTH, CHANNELS = 14, 17, 3, 2


@pytest.fixture(scope="module")
def problem(oracles):
    """Rings with overflow, a mask of kept edges, and {(target, source): flat id} of the kept ones."""
    rng = np.random.default_rng(0)
    edges = oracles.random_edges(rng, COUNT, 0.3)
    over = np.maximum(np.bincount([target for target, _ in edges]) - WIDTH, 0).sum()
    rings, flat = oracles.ring_tables(edges, ROWS, WIDTH, over + 2)
    keep = np.zeros(ROWS * WIDTH + over + 2, bool)
    kept = {edge: number for edge, number in flat.items() if rng.random() < 0.8}
    keep[list(kept.values())] = True
    assert over > 5
    return rings, keep, kept


def rows_of(seed):
    return np.concatenate([np.random.default_rng(seed).normal(size=(COUNT, CHANNELS)), np.zeros((3, CHANNELS))])


def edge_values(problem, seed):
    """Values of all flat ids; NaN where there is no kept edge."""
    values = np.full((len(problem[1]), CHANNELS), np.nan)
    values[problem[1]] = np.random.default_rng(seed).normal(size=(problem[1].sum(), CHANNELS))
    return values


def by_target(kept, reduce):
    out = np.zeros((ROWS, CHANNELS))
    for target in {target for target, _ in kept}:
        out[target] = reduce({source: number for (i, source), number in kept.items() if i == target})
    return out


def test_mask_has_the_kept_edges(problem):
    rings, keep, kept = problem
    assert set(np.flatnonzero(edge_mask(rings, keep)).tolist()) == set(kept.values())
    assert edge_mask(rings).sum() > len(kept)


def test_gathers_read_both_ends(problem):
    rings, _, kept = problem
    x = rows_of(1)
    with jax.enable_x64(True):
        targets, sources = gather_targets(x, rings), gather_sources(x, rings)
    for (target, source), number in kept.items():
        np.testing.assert_array_equal(targets[number], x[target])
        np.testing.assert_array_equal(sources[number], x[source])
    assert not np.asarray(sources)[~np.asarray(edge_mask(rings))].any()


def test_mean_and_maximum_by_hand(problem):
    rings, keep, kept = problem
    values = edge_values(problem, 2)
    with jax.enable_x64(True):
        mean, top = one_ring_mean(values, rings, keep), one_ring_max(values, rings, keep)
    np.testing.assert_allclose(mean, by_target(kept, lambda own: values[list(own.values())].mean(0)), atol=1e-14)
    np.testing.assert_allclose(top, by_target(kept, lambda own: values[list(own.values())].max(0)), atol=1e-14)
    assert not np.asarray(top)[3].any()  # without neighbours


def test_vector_attention_by_hand(problem):
    rings, keep, kept = problem
    scores, value = 30 * edge_values(problem, 3), rows_of(4)

    def attend(own):
        weights = np.exp(scores[list(own.values())])
        return (weights / weights.sum(0) * value[list(own)]).sum(0)

    with jax.enable_x64(True):
        out = one_ring_vector_attention(scores, value, rings, keep)
    np.testing.assert_allclose(out, by_target(kept, attend), atol=1e-13)
    with jax.enable_x64(True):  # where exp would overflow, and a shift of all scores changes nothing
        large = one_ring_vector_attention(scores + 1e3, value, rings, keep)
    np.testing.assert_allclose(large, out, atol=1e-11)


@pytest.mark.parametrize("reduce", [one_ring_mean, one_ring_max, one_ring_vector_attention])
def test_derivative_is_that_of_differences(problem, reduce):
    rings, keep, _ = problem

    def loss(target, source, value):
        at_edges = jnp.sin(gather_targets(target, rings) + 3 * gather_sources(source, rings))
        operands = (at_edges, value) if reduce is one_ring_vector_attention else (at_edges * 2,)
        out = reduce(*operands, rings, keep)
        return (out * jnp.cos(jnp.arange(out.size, dtype=out.dtype)).reshape(out.shape)).sum()

    with jax.enable_x64(True):
        check_grads(
            jax.jit(loss), tuple(jnp.asarray(rows_of(s)) for s in (5, 6, 7)), 1, modes=["rev"], atol=1e-6, rtol=1e-6
        )


def test_edges_that_share_the_maximum_share_the_gradient(problem):
    rings, keep, kept = problem
    gradient = jax.grad(lambda values: one_ring_max(values, rings, keep).sum())(jnp.ones((len(keep), CHANNELS)))
    share = by_target(kept, lambda own: 1 / len(own))
    for (target, _), number in kept.items():
        np.testing.assert_allclose(gradient[number], share[target], rtol=1e-6)
    assert not np.asarray(gradient)[~keep].any()
