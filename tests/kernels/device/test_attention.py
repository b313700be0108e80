"""One-ring attention against a loop over vertices, finite differences and hand-computable cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from kernels.device.attention.api import one_ring_attention

VERTICES, ROWS, DIM = 24, 30, 4

attention = jax.jit(one_ring_attention, static_argnames=("shift", "method"))


@pytest.fixture(scope="module")
def graph(oracles):
    """Edges of a small random graph, 3 slots a vertex, a third of the directed edges dropped."""
    rng = np.random.default_rng(11)
    edges = oracles.random_edges(rng, VERTICES, 0.2)
    over = sum(max(0, degree - 3) for degree in np.bincount([target for target, _ in edges]))
    rings, flat = oracles.ring_tables(edges, ROWS, 3, over + 2)
    kept = [edge for edge in edges if rng.random() < 0.7]
    keep = np.zeros(ROWS * 3 + over + 2, bool)
    keep[[flat[edge] for edge in kept]] = True
    assert over > 10
    return rings, keep, kept


def random_inputs(scale):
    rng = np.random.default_rng(12)
    query, key, value = rng.normal(size=(3, ROWS, DIM))
    return scale * query, key, value


def attention_by_loop(query, key, value, edges, shift):
    """The formula of the original, vertex by vertex in float64."""
    out = np.zeros((ROWS, DIM))
    score = {(i, j): query[i] @ key[j] / np.sqrt(DIM) for i, j in edges}
    highest = max(score.values())
    for i in range(VERTICES):
        sources = [j for target, j in edges if target == i]
        if not sources:
            continue
        scores = np.array([score[i, j] for j in sources])
        weights = np.exp(scores - (highest if shift == "global" else scores.max()))
        out[i] = weights @ value[sources] / (weights.sum() + (1e-16 if shift == "global" else 0))
    return out


@pytest.mark.parametrize("shift", ["vertex", "global"])
@pytest.mark.parametrize("method", [None, "segment_sum"])
@pytest.mark.parametrize("scale", [1, 25])
def test_equals_a_loop_over_vertices(graph, shift, method, scale):
    rings, keep, kept = graph
    inputs = random_inputs(scale)
    with jax.enable_x64(True):
        got = attention(*inputs, rings, keep, shift=shift, method=method)
    np.testing.assert_allclose(got, attention_by_loop(*inputs, kept, shift), rtol=0, atol=1e-12)


def test_the_two_shifts_agree_for_moderate_scores_and_differ_for_large_ones(graph):
    rings, keep, _ = graph

    def difference(scale):
        vertex, whole = (attention(*random_inputs(scale), rings, keep, shift=s) for s in ("vertex", "global"))
        return np.abs(vertex - whole).max()

    with jax.enable_x64(True):
        assert difference(1) < 1e-12
        assert difference(25) > 0.1


@pytest.mark.parametrize("shift", ["vertex", "global"])
def test_gradient_equals_finite_differences(graph, shift):
    """Scores are far enough apart for the gradient through the global maximum to count."""
    rings, keep, _ = graph
    with jax.enable_x64(True):
        inputs = tuple(map(jnp.asarray, random_inputs(25)))
        check_grads(lambda *a: attention(*a, rings, keep, shift=shift), inputs, 1, modes=["rev"], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("ties", [1, 2])
def test_gradient_through_the_maximum_is_shared_by_ties(oracles, ties):
    """Two pairs of vertices; with query = key both directions of an edge tie for the maximum, and the lower pair lies
    so far below that the 1e-16 takes half of its denominator."""
    edges = [(0, 1), (1, 0), (2, 3), (3, 2)]
    rings, flat = oracles.ring_tables(edges, 6, 2, 1)
    keep = np.ones(13, bool)
    keep[flat[1, 0]] = ties == 2
    below = -np.log(1e-16)
    x = np.sqrt(np.array([below + 9, below + 9, 9, 9, 0, 0]))[:, None]
    with jax.enable_x64(True):

        def grads(method):
            def loss(q, k):
                out = attention(q, k, jnp.ones_like(q), rings, keep, shift="global", method=method)
                return (out * jnp.arange(1.0, 7.0)[:, None]).sum(), out

            return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(x, x)

        (dq, dk), out = grads(None)
        (want_dq, want_dk), _ = grads("segment_sum")
    np.testing.assert_allclose(out[2:4], 0.5, rtol=1e-9)
    peak_grad = -(3 + 4) * 0.5 * 0.5
    np.testing.assert_allclose(dq[0], peak_grad / ties * x[1], rtol=1e-9)
    np.testing.assert_allclose(dq, want_dq, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(dk, want_dk, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("shift", ["vertex", "global"])
def test_huge_scores_stay_finite_in_float32(graph, shift):
    """Scores of several thousand: exp of a difference would overflow, so would 1e-16 exp(M - m)."""
    rings, keep, _ = graph
    query, key, value = (array.astype(np.float32) for array in random_inputs(3000))
    out, pull = jax.vjp(lambda *a: attention(*a, rings, keep, shift=shift), query, key, value)
    for array in (out, *pull(jnp.ones_like(out))):
        assert np.isfinite(array).all()


@pytest.mark.parametrize("shift", ["vertex", "global"])
def test_without_edges_everything_is_zero(graph, shift):
    rings, keep, _ = graph
    inputs = tuple(array.astype(np.float32) for array in random_inputs(1))
    out, pull = jax.vjp(lambda *a: attention(*a, rings, np.zeros_like(keep), shift=shift), *inputs)
    for array in (out, *pull(jnp.ones_like(out))):
        np.testing.assert_array_equal(array, 0)


def test_vertex_without_edges_gives_zero_and_a_single_edge_copies_the_value(oracles):
    rings, _ = oracles.ring_tables([(0, 1), (1, 0)], 4, 2, 0)
    value = np.arange(8, dtype=np.float32).reshape(4, 2)
    out = one_ring_attention(value, value, value, rings)
    np.testing.assert_array_equal(out, [[2, 3], [0, 1], [0, 0], [0, 0]])


def test_the_width_of_the_table_does_not_matter(oracles):
    """The same graph with 1, 4 and 30 slots a vertex: overflow and slots are two homes of the same edges."""
    edges = oracles.random_edges(np.random.default_rng(13), VERTICES, 0.2)
    cotangent = oracles.padded(np.random.default_rng(14).normal(size=(VERTICES, DIM)), ROWS)
    results = []
    with jax.enable_x64(True):
        for width in (1, 4, 30):
            over = sum(max(0, degree - width) for degree in np.bincount([target for target, _ in edges]))
            rings, _ = oracles.ring_tables(edges, ROWS, width, over)
            out, pull = jax.vjp(lambda *a, rings=rings: attention(*a, rings), *random_inputs(1))
            results.append((out, *pull(jnp.asarray(cotangent))))
    for other in results[1:]:
        for a, b in zip(other, results[0]):
            np.testing.assert_allclose(a[:VERTICES], b[:VERTICES], rtol=0, atol=1e-13)


def test_values_may_have_another_width_than_keys(graph):
    rings, keep, _ = graph
    query, key, value = random_inputs(1)
    wide = np.concatenate([value, 2 * value], axis=1)
    with jax.enable_x64(True):
        narrow_out = np.asarray(attention(query, key, value, rings, keep))
        out, pull = jax.vjp(lambda v: attention(query, key, v, rings, keep), wide)
        assert pull(jnp.ones_like(out))[0].shape == wide.shape
    np.testing.assert_allclose(out, np.concatenate([narrow_out, 2 * narrow_out], axis=1), rtol=1e-12)


def test_unknown_shift_and_short_keep_are_refused(graph):
    rings, keep, _ = graph
    inputs = random_inputs(1)
    with pytest.raises(ValueError, match="shift 'row' is unknown"):
        one_ring_attention(*inputs, rings, keep, shift="row")
    with pytest.raises(AssertionError):
        one_ring_attention(*inputs, rings, keep[:-1])
    with pytest.raises(AssertionError):
        one_ring_attention(*inputs, rings._replace(overflow_reverse=rings.overflow_reverse[:-1]))
