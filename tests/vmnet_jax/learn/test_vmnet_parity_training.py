"""Optimiser, schedule, cross entropy, metrics and edge sampling against the stored results of the original program."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kernels.host.mesh.rings import edge_targets_sources, ring_table, rings_from_edges
from tests.parity_tools import assert_close_to_largest
from vmnet_jax.data.edge_sampling import keep_mask, keep_probability
from vmnet_jax.learn.losses import cross_entropy_sums
from vmnet_jax.learn.metrics import confusion, iou_from_confusion
from vmnet_jax.learn.optim import poly_schedule, sgd_dampened

pytestmark = pytest.mark.parity

FILES = ("vmnet/misc.npz", "vmnet/edge_sampling.npz")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_optimiser_trajectory(open_fixture, dtype):
    stored = open_fixture(FILES[0])
    schedule = poly_schedule(0.1, 10)
    with jax.enable_x64(dtype == np.float64):
        optimizer = sgd_dampened(schedule)
        trajectory = stored.float32("sgd_params")
        params = jnp.asarray(trajectory.value[0], dtype)
        state = optimizer.init(params)
        update = jax.jit(optimizer.update)
        for step, gradient in enumerate(stored["sgd_grads"]):
            rate = schedule(step)
            np.testing.assert_allclose(rate, stored["sgd_lr64"][step], rtol=1e-14 if dtype == np.float64 else 1e-6)
            updates, state = update(jnp.asarray(gradient, dtype), state, params)
            params = optax.apply_updates(params, updates)
            assert params.dtype == dtype
            assert_close_to_largest(params, trajectory._replace(value=trajectory.value[step + 1]))


def test_confusion_and_iou(open_fixture):
    stored = open_fixture(FILES[0])
    counts = confusion(stored["iou_pred"], stored["iou_gt"], len(stored["iou_confusion"]))
    np.testing.assert_array_equal(counts, stored["iou_confusion"])
    iou, mean = iou_from_confusion(counts)
    np.testing.assert_allclose(iou, stored["iou64"], rtol=1e-14)
    np.testing.assert_allclose(mean, stored["iou64"].mean(), rtol=1e-14)


def test_cross_entropy(open_fixture):
    stored = open_fixture(FILES[0])
    labels = np.maximum(stored["ce_labels"], -1)

    def mean(logits):
        total, weight = cross_entropy_sums(logits, labels)
        return total / weight

    with jax.enable_x64(True):
        loss, gradient = jax.value_and_grad(mean)(jnp.asarray(stored["ce_logits"], jnp.float64))
    np.testing.assert_allclose(loss, stored["ce_loss64"], rtol=1e-7)
    assert_close_to_largest(gradient, stored.float32("ce_dlogits"))
    assert_close_to_largest(jax.grad(mean)(stored["ce_logits"]), stored.float32("ce_dlogits"))


@pytest.mark.parametrize("cutoff", [4, 10])
def test_keep_probabilities(open_fixture, cutoff):
    stored = open_fixture(FILES[1])
    assert_close_to_largest(keep_probability(stored["degrees"], cutoff), stored.float32(f"keep_cutoff{cutoff}"))


def test_edges_are_kept_by_the_degree_of_their_source(open_fixture):
    stored = open_fixture(FILES[1])
    listed_source, listed_target = stored["graph_edge_index"]  # a few edges are listed in one direction only
    count = int(max(listed_source.max(), listed_target.max())) + 1
    table = ring_table(rings_from_edges(listed_target, listed_source, count), width=6)
    target, source, valid = edge_targets_sources(table)
    table = table._replace(degree=np.bincount(listed_source, minlength=count))

    edge_ids = np.full((count, count), -1)
    edge_ids[target[valid], source[valid]] = np.flatnonzero(valid)
    ids = edge_ids[listed_target, listed_source]
    np.testing.assert_array_equal(table.degree[source[ids]], stored["graph_row_degree"])
    expected = stored["graph_keep"].astype(np.float64)
    assert_close_to_largest(keep_probability(stored["graph_row_degree"]), stored.float32("graph_keep"))

    draws, rng = 4000, np.random.default_rng(0)
    kept = sum(keep_mask(table, rng)[ids].astype(np.int64) for _ in range(draws))
    deviation = np.sqrt(draws * expected * (1 - expected))
    assert (np.abs(kept - draws * expected) <= 5 * deviation).all()


def test_everything_was_compared(open_fixture):
    for name in FILES:
        assert not open_fixture(name).unread
