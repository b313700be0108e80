"""The linear probe against a plain NumPy loop, its selection rule, and nearest neighbours by brute force."""

import jax
import numpy as np
import pytest

from sdclr_jax.data.batches import epoch_order
from sdclr_jax.probe import probe
from sdclr_jax.probe.features import FeatureReader
from sdclr_jax.probe.probe import ProbeSchedule, fit_probe, logits, nearest_neighbours
from sdclr_jax.views.views import to_float

N, M, C, K = 37, 20, 6, 4


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(K, C))
    labels, val_labels = rng.integers(0, K, N), rng.integers(0, K, M)
    features = (centres[labels] + rng.normal(size=(N, C))).astype(np.float32)
    return features, labels, (centres[val_labels] + rng.normal(size=(M, C))).astype(np.float32), val_labels


def schedule(**changes):
    base = {"epochs": 5, "learning_rate": 0.5, "decay_epochs": (2, 4), "decays_before_epoch": True, "batch_size": 16}
    return ProbeSchedule(**(base | {"validate_every": 1, "select_top": 1} | changes))


def plain_probe(of_epoch, labels, weights, rates, seed):
    """float64 SGD with momentum; the weights after each epoch."""
    kernel, bias = (np.asarray(w, np.float64) for w in weights)
    buffers, history = [0 * kernel, 0 * bias], []
    for epoch, rate in enumerate(rates, 1):
        order, x = epoch_order(N, 16, 1, seed, epoch), of_epoch(epoch).astype(np.float64)
        for index, real in zip(order.examples[0], order.rows[0]):
            index = index[real]
            z = x[index] @ kernel + bias
            p = np.exp(z - z.max(1, keepdims=True))
            p = p / p.sum(1, keepdims=True) - np.eye(K)[labels[index]]
            gradients = [x[index].T @ p / len(index), p.mean(0)]
            buffers = [0.9 * b + g for b, g in zip(buffers, gradients)]
            kernel, bias = kernel - rate * buffers[0], bias - rate * buffers[1]
        history.append((kernel, bias))
    return history


@pytest.mark.parametrize(
    ("before", "rates"), [(True, [0.5, 0.05, 0.05, 0.005, 0.005]), (False, [0.5, 0.5, 0.05, 0.05, 0.005])]
)
def test_probe_is_plain_sgd_on_the_published_schedule(problem, before, rates):
    """Features that change by epoch, a short last batch, momentum kept over the epochs, both decay timings."""
    features, labels, val, val_labels = problem
    of_epoch = lambda epoch: features * np.float32(1 + 0.1 * epoch)  # noqa: E731
    start = (0.01 * jax.random.normal(jax.random.key(3), (C, K)), np.zeros(K))
    history = plain_probe(of_epoch, labels, start, rates, seed=3)
    fitted = fit_probe(of_epoch, labels, val, val_labels, K, schedule=schedule(decays_before_epoch=before), seed=3)
    scores = [np.mean((val @ kernel + bias).argmax(1) == val_labels) for kernel, bias in history]
    assert fitted.epoch == int(np.argmax(scores)) + 1, "the earliest of the best"
    assert fitted.val_accuracy == pytest.approx(max(scores))
    np.testing.assert_allclose(fitted.weights.kernel, history[fitted.epoch - 1][0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fitted.weights.bias, history[fitted.epoch - 1][1], rtol=1e-4, atol=1e-5)


def test_the_earliest_best_validated_epoch_is_chosen(problem, monkeypatch):
    features, labels, val, val_labels = problem
    seen = []
    scores = iter([0.2, 0.6, 0.6, 0.4])

    def scripted(weights, features, labels, top):
        seen.append(top)
        return next(scores)

    monkeypatch.setattr(probe, "top_accuracy", scripted)
    plan = schedule(epochs=7, validate_every=2, select_top=3)
    fitted = fit_probe(lambda _: features, labels, val, val_labels, K, schedule=plan, seed=0)
    assert (fitted.epoch, fitted.val_accuracy) == (4, 0.6)
    assert seen == [3, 3, 3, 3], "epochs 2, 4, 6 and the last"


def test_top_accuracy_by_hand():
    weights = probe.LinearClassifier(np.eye(3, dtype=np.float32), np.zeros(3, np.float32))
    features = np.array([[3, 2, 1], [1, 2, 3]], np.float32)
    assert probe.top_accuracy(weights, features, np.array([0, 1]), 1) == 0.5
    assert probe.top_accuracy(weights, features, np.array([0, 1]), 2) == 1.0
    np.testing.assert_allclose(logits(weights, features), features)


def test_neighbours_are_those_of_brute_force(problem):
    bank, labels, queries, _ = problem
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    cosine = unit(queries) @ unit(bank).T
    expected = []
    for row in cosine:
        votes = np.zeros(K)
        for j in np.argsort(-row)[:5]:
            votes[labels[j]] += np.exp(row[j] / 0.07)
        expected.append(votes.argmax())
    np.testing.assert_array_equal(nearest_neighbours(bank, labels, queries, K, 5), expected)


def test_features_are_those_of_branch_zero_in_evaluation_mode(tiny_net):
    """Dense weights, running statistics of set 0; the same for an image in any batch; crops differ by epoch."""
    model = tiny_net()
    variables = model.init(jax.random.key(0), np.zeros((1, 8, 8, 3), np.float32))
    bump = lambda path, leaf: leaf + 0.5 * (path[-1].key == "mean_0") + 9.0 * (path[-1].key == "mean_1")  # noqa: E731
    stats = jax.tree_util.tree_map_with_path(bump, variables["batch_stats"])
    variables = jax.tree.map(np.asarray, {"params": variables["params"], "batch_stats": stats})
    images = np.random.default_rng(0).integers(0, 256, (11, 8, 8, 3), np.uint8)
    reader = FeatureReader(model, variables, "padded", 8, jax.random.key(1))
    features = reader.plain(images)
    expected = jax.jit(model.apply)(variables, to_float(images)).features
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    of_epoch = reader.by_epoch(images)
    first, again, second = of_epoch(1), of_epoch(1), of_epoch(2)
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()
    plain = FeatureReader(model, variables, "none", 8, jax.random.key(1)).by_epoch(images)
    np.testing.assert_array_equal(plain(1), plain(2))
    with pytest.raises(ValueError, match="probe_crop is 'tight'"):
        FeatureReader(model, variables, "tight", 8, jax.random.key(1))
