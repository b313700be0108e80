"""Edge sampling: probabilities worked out by hand, which vertex's degree counts, and what a mask never does."""

import numpy as np
import pytest

from kernels.host.mesh.rings import edge_targets_sources, ring_table, rings_from_edges
from vmnet_jax.data.edge_sampling import keep_mask, keep_probability


@pytest.fixture(scope="module")
def star():
    """Vertex 0 in the middle of 12 others, of which 1 and 2 are joined; slots for four, the rest overflows."""
    others = np.arange(1, 13, dtype=np.int32)
    targets, sources = np.append(np.zeros_like(others), 1), np.append(others, 2)
    return ring_table(rings_from_edges(targets.astype(np.int32), sources.astype(np.int32), 13), width=4)


def test_probabilities_by_hand():
    # 8 neighbours, cutoff 4: 5 ** (-1 / log2(5)) = 1 / 2; 28 neighbours: 25 ** (-1 / log2(5)) = 1 / 4; likewise 11, 121
    np.testing.assert_allclose(keep_probability(np.array([0, 1, 4, 8, 28])), [1, 1, 1, 0.5, 0.25], rtol=1e-12)
    np.testing.assert_allclose(keep_probability(np.array([9, 10, 20, 130]), cutoff=10), [1, 1, 0.5, 0.25], rtol=1e-12)


def test_only_edges_of_a_crowded_source_are_dropped(star):
    target, source, valid = edge_targets_sources(star)
    rng = np.random.default_rng(1)
    kept = np.stack([keep_mask(star, rng) for _ in range(500)])
    assert kept.shape == (500, len(target))
    assert not kept[:, ~valid].any()
    assert kept[:, valid & (source != 0)].all()
    from_middle = kept[:, valid & (source == 0)]
    share = keep_probability(np.array([12]))[0]
    assert abs(from_middle.mean() - share) < 5 * np.sqrt(share * (1 - share) / from_middle.size)
    assert 0 < from_middle.mean(0).min() < from_middle.mean(0).max() < 1


def test_high_cutoff_keeps_all_edges(star):
    every = keep_mask(star, None, cutoff=0)
    assert every.sum() == 2 * 13
    np.testing.assert_array_equal(keep_mask(star, np.random.default_rng(0), cutoff=12), every)


def test_same_generator_same_mask(star):
    first, again, other = (keep_mask(star, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
