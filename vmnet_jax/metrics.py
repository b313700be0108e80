"""Confusion matrices and what is read off them. Matrices of several scenes or devices are added before that."""

import jax
import jax.numpy as jnp
import numpy as np


def confusion(pred: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    """Counts int32 [K, K] of (predicted, true) class over the labelled rows; for use under jit, on padded arrays.

    Args:
        pred: int32 [N], predicted class, in 0..K-1.
        labels: int32 [N], true class; rows with a negative label are left out.
        num_classes: K.
    """
    labelled = labels >= 0
    cell = jnp.where(labelled, pred * num_classes + labels, 0)
    counts = jnp.zeros(num_classes**2, jnp.int32).at[cell].add(labelled.astype(jnp.int32))
    return counts.reshape(num_classes, num_classes)


def host_confusion(pred: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """As `confusion`, in int64 and NumPy, for arrays of any length without a compilation for each."""
    labelled = labels >= 0
    cell = np.asarray(pred)[labelled].astype(np.int64) * num_classes + np.asarray(labels)[labelled]
    return np.bincount(cell, minlength=num_classes**2).reshape(num_classes, num_classes)


def iou_from_confusion(counts: np.ndarray) -> tuple[np.ndarray, float]:
    """Intersection over union of every class, and its mean over the classes that occur.

    Args:
        counts: int [K, K], (predicted, true).

    Returns:
        float64 [K], NaN for a class that is neither predicted nor true anywhere, and the mean of the others (NaN if
        there are none).
    """
    counts = np.asarray(counts, np.int64)
    hits = np.diagonal(counts)
    union = counts.sum(0) + counts.sum(1) - hits
    iou = np.full(hits.shape, np.nan)
    np.divide(hits, union, out=iou, where=union > 0)
    return iou, float(iou[union > 0].mean()) if union.any() else float("nan")


def accuracy(counts: np.ndarray) -> float:
    """Share of labelled rows whose prediction is right; NaN without any."""
    counts = np.asarray(counts, np.int64)
    return float(np.trace(counts) / counts.sum()) if counts.any() else float("nan")
