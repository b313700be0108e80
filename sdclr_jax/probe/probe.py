"""Classifiers on frozen features: the linear probe with the published schedules, and nearest neighbours."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from sdclr_jax.data.batches import Order, epoch_order
from sdclr_jax.learn.losses import l2_normalize
from sdclr_jax.learn.optim import sgd, step_decay


class ProbeSchedule(NamedTuple):
    """How a linear probe is trained: the config's `probe_` settings; see `optim.step_decay` for the rate."""

    epochs: int
    learning_rate: float
    decay_epochs: tuple[int, ...]
    decays_before_epoch: bool
    batch_size: int
    validate_every: int
    select_top: int


class LinearClassifier(NamedTuple):
    """Weights of the probe: kernel float32 [C, K], bias float32 [K]."""

    kernel: jax.Array
    bias: jax.Array


class Probe(NamedTuple):
    """A trained probe: its weights, the epoch (from 1) they are from, and that epoch's validation accuracy."""

    weights: LinearClassifier
    epoch: int
    val_accuracy: float


def logits(weights: LinearClassifier, features: jax.Array) -> jax.Array:
    """[N, C] -> [N, K]."""
    return jnp.matmul(features, weights.kernel, precision=lax.Precision.HIGHEST) + weights.bias


def top_accuracy(weights: LinearClassifier, features: np.ndarray, labels: np.ndarray, top: int) -> float:
    """Share of rows of `features` [N, C] whose label [N] is among the `top` largest logits, or all if K < top."""
    best = np.asarray(lax.top_k(logits(weights, features), min(top, len(weights.bias)))[1])
    return float((best == labels[:, None]).any(1).mean())


_OPTIMIZER = sgd(1.0, momentum=0.9)


@partial(jax.jit, donate_argnums=(0,))
def _run_epoch(carry: tuple, rate: jax.Array, data: tuple[jax.Array, jax.Array], order: Order) -> tuple:
    """One pass over (features, labels) in the order int32, bool [S, n]: (weights, opt_state) after it.

    The loss is the mean cross-entropy of the real rows of each batch.
    """
    features, labels = data

    def step(carry: tuple, batch: tuple) -> tuple[tuple, None]:
        weights, opt_state = carry
        index, real = batch

        def loss_fn(weights: LinearClassifier) -> jax.Array:
            losses = optax.softmax_cross_entropy_with_integer_labels(logits(weights, features[index]), labels[index])
            return jnp.where(real, losses, 0).sum() / real.sum()

        updates, opt_state = _OPTIMIZER.update(jax.grad(loss_fn)(weights), opt_state, weights)
        weights = jax.tree.map(lambda weight, update: weight + rate * update, weights, updates)
        return (weights, opt_state), None

    return lax.scan(step, carry, order)[0]


def fit_probe(
    features_of_epoch: Callable[[int], np.ndarray],
    labels: np.ndarray,
    val_features: np.ndarray,
    val_labels: np.ndarray,
    num_classes: int,
    *,
    schedule: ProbeSchedule,
    seed: int,
) -> Probe:
    """Trains a linear layer on frozen features: SGD with momentum 0.9, no weight decay, cross-entropy.

    The weights that validate best win; ties go to the earliest. Initially the kernel is normal with deviation 0.01, the
    bias zero.

    Args:
        features_of_epoch: epoch (from 1) -> float32 [N, C], features of the training images as augmented in that epoch.
        labels: int [N], of K = `num_classes`.
        val_features, val_labels: [M, C] and [M]; the features of the unaugmented images.
        schedule: epochs, rate and selection.
        seed: of the initial weights and the order of the images.
    """
    rate = step_decay(schedule.learning_rate, schedule.decay_epochs, schedule.decays_before_epoch)
    labels = jnp.asarray(labels, jnp.int32)
    kernel = 0.01 * jax.random.normal(jax.random.key(seed), (val_features.shape[1], num_classes))
    weights = LinearClassifier(kernel, jnp.zeros(num_classes))
    opt_state, best = _OPTIMIZER.init(weights), None
    for epoch in range(1, schedule.epochs + 1):
        order = Order(*(part[0] for part in epoch_order(len(labels), schedule.batch_size, 1, seed, epoch)))
        data = (jnp.asarray(features_of_epoch(epoch)), labels)
        weights, opt_state = _run_epoch((weights, opt_state), rate(epoch), data, order)
        if epoch % schedule.validate_every and epoch != schedule.epochs:
            continue
        accuracy = top_accuracy(weights, val_features, val_labels, schedule.select_top)
        if best is None or accuracy > best.val_accuracy:
            best = Probe(jax.tree.map(np.asarray, weights), epoch, accuracy)
    return best


def fit_logistic(features: np.ndarray, labels: np.ndarray) -> LinearClassifier:
    """Logistic regression on standardised features with scikit-learn's L2 penalty (C = 1), to convergence.

    Unlike `fit_probe` it is deterministic and needs no validation: two networks get different classifiers only where
    their features float [N, C] differ. Every class 0 .. K - 1 occurs in `labels` int [N], K >= 3.
    """
    from sklearn.linear_model import LogisticRegression  # takes seconds to import

    mean, deviation = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    deviation = np.where(deviation > 1e-6 * np.abs(mean) + 1e-12, deviation, np.inf)
    fitted = LogisticRegression(max_iter=5000).fit((features - mean) / deviation, labels)
    if len(fitted.classes_) < 3 or fitted.classes_[-1] != len(fitted.classes_) - 1:
        raise ValueError(f"the classes {fitted.classes_} occur; need all of 0 .. K - 1, at least three")
    kernel = fitted.coef_.T / deviation[:, None]
    return LinearClassifier(np.float32(kernel), np.float32(fitted.intercept_ - mean @ kernel))


@partial(jax.jit, static_argnames=("num_classes", "neighbours"))
def _vote(bank: jax.Array, bank_labels: jax.Array, queries: jax.Array, num_classes: int, neighbours: int) -> jax.Array:
    similarity = jnp.matmul(l2_normalize(queries), bank.T, precision=lax.Precision.HIGHEST)
    nearest, index = lax.top_k(similarity, neighbours)
    votes = jax.nn.one_hot(bank_labels[index], num_classes) * jnp.exp((nearest - 1) / 0.07)[..., None]
    return votes.sum(1).argmax(1)


def nearest_neighbours(
    bank: np.ndarray, bank_labels: np.ndarray, queries: np.ndarray, num_classes: int, neighbours: int
) -> np.ndarray:
    """Classes by weighted vote of the nearest training features (Wu et al., CVPR 2018: exp(cosine / 0.07)).

    `bank` float [N, C] and `bank_labels` int [N] are of labelled images. The `neighbours` (at most N) nearest to each
    of the `queries` float [M, C] vote. The result is int [M].
    """
    bank, bank_labels = l2_normalize(jnp.asarray(bank)), jnp.asarray(bank_labels)
    count, rows = len(queries), min(1000, len(queries))
    starts = range(0, count, rows)
    parts = [queries[np.minimum(np.arange(start, start + rows), count - 1)] for start in starts]
    return np.concatenate([_vote(bank, bank_labels, part, num_classes, neighbours) for part in parts])[:count]
