"""The loss against NumPy: ignored rows, class weights, nothing labelled, several devices."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainlib.run import parallel
from vmnet_jax.learn.losses import cross_entropy_sums, scene_loss
from vmnet_jax.model.vmnet import Logits

CLASSES = 5


def by_hand(logits, labels, weights=None):
    weights = np.ones(CLASSES) if weights is None else weights
    total = weight = 0.0
    for row, label in zip(logits.astype(np.float64), labels):
        if label >= 0:
            total += weights[label] * (np.log(np.exp(row).sum()) - row[label])
            weight += weights[label]
    return total, weight


def random_rows(seed: int, rows: int, labelled: bool = True):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, CLASSES, rows) if labelled else np.full(rows, -1)
    return rng.normal(size=(rows, CLASSES)).astype(np.float32), labels.astype(np.int32)


def batch_of(voxel_labels, vertex_labels):
    """All that the loss reads of a batch."""
    return SimpleNamespace(voxel_labels=voxel_labels, vertex_labels=vertex_labels)


@pytest.mark.parametrize("weights", [None, np.array([0.0, 1.0, 2.0, 0.5, 3.0])])
def test_sums_by_hand(weights):
    logits, labels = random_rows(0, 60)
    np.testing.assert_allclose(cross_entropy_sums(logits, labels, weights), by_hand(logits, labels, weights), rtol=1e-5)


def test_large_logits_stay_finite():
    logits = np.array([[3e4, 0, 0, 0, 0], [0, -3e4, 0, 0, 0]], np.float32)
    total, weight = cross_entropy_sums(logits, np.array([1, 1], np.int32))
    assert total == pytest.approx(6e4, rel=1e-4)
    assert weight == 2


def test_half_precision_logits_are_summed_in_float32():
    logits, labels = random_rows(1, 2000)
    half = jnp.asarray(logits, jnp.bfloat16)
    total, weight = cross_entropy_sums(half, labels)
    assert total.dtype == weight.dtype == jnp.float32
    np.testing.assert_allclose((total, weight), by_hand(np.asarray(half.astype(jnp.float32)), labels), rtol=1e-4)


@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 0.5, 1.0, 4.0)])
def test_loss_is_the_sum_of_two_means(weights):
    (voxel, voxel_labels), (vertex, vertex_labels) = random_rows(2, 40), random_rows(3, 30)
    loss, metrics = scene_loss(Logits(voxel, vertex), batch_of(voxel_labels, vertex_labels), class_weights=weights)
    first, second = by_hand(voxel, voxel_labels, weights), by_hand(vertex, vertex_labels, weights)
    np.testing.assert_allclose(metrics["voxel_loss"], first[0] / first[1], rtol=1e-5)
    np.testing.assert_allclose(metrics["vertex_loss"], second[0] / second[1], rtol=1e-5)
    np.testing.assert_allclose(loss, first[0] / first[1] + second[0] / second[1], rtol=1e-5)
    np.testing.assert_allclose(loss, metrics["loss"])


def test_branch_without_labels_counts_nothing():
    (voxel, voxel_labels), (vertex, unlabelled) = random_rows(4, 40), random_rows(5, 30, labelled=False)

    def loss(logits):
        return scene_loss(logits, batch_of(voxel_labels, unlabelled))[0]

    value, gradient = jax.value_and_grad(loss)(Logits(voxel, vertex))
    total, weight = by_hand(voxel, voxel_labels)
    np.testing.assert_allclose(value, total / weight, rtol=1e-5)
    assert not gradient.vertex.any()
    assert np.isfinite(gradient.voxel).all()


def test_ignored_rows_have_no_gradient():
    logits, labels = random_rows(6, 50)
    gradient = jax.grad(lambda x: cross_entropy_sums(x, labels)[0])(logits)
    np.testing.assert_array_equal(gradient.any(axis=1), labels >= 0)


def test_shares_of_devices_add_up():
    devices, rows = parallel.num_devices(), 24
    voxel, vertex = (np.stack([random_rows(seed + d, rows)[0] for d in range(devices)]) for seed in (10, 20))
    labels = np.stack([random_rows(30 + d, rows, labelled=d != 1)[1] for d in range(devices)])
    labels[2, 3:] = -1  # devices with all, some and no labelled rows

    def share(logits, labels, axis_name):
        return scene_loss(logits, batch_of(labels, labels), axis_name)

    step = parallel.pmap_step(
        jax.value_and_grad(functools.partial(share, axis_name=parallel.AXIS), has_aux=True), in_axes=(0, 0), out_axes=0
    )
    (shares, metrics), gradients = step(Logits(voxel, vertex), labels)
    whole = Logits(voxel.reshape(-1, CLASSES), vertex.reshape(-1, CLASSES))
    (loss, expected), gradient = jax.value_and_grad(share, has_aux=True)(whole, labels.ravel(), None)
    np.testing.assert_allclose(shares.sum(), loss, rtol=1e-6)
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], np.full(devices, value), rtol=1e-6)
    for ours, theirs in zip(gradients, gradient):
        np.testing.assert_allclose(ours.reshape(theirs.shape), theirs, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("weights", [[2.0], [1.0, 2.0], [1.0] * 6, [[1.0] * 5], 2.0])
def test_class_weights_of_another_number_of_classes_are_refused(weights):
    with pytest.raises(ValueError, match=r"class_weights of shape .* for 5 classes"):
        cross_entropy_sums(jnp.zeros((7, 5)), jnp.arange(7) % 5, jnp.array(weights))
