"""Confusion matrices and what is read off them. Matrices of several scenes are added before that."""

import numpy as np


def confusion(pred: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts int64 [K, K] of (predicted, true) class over the labelled rows.

    Args:
        pred: int [N], predicted class, in 0..K-1.
        labels: int [N], true class; rows with a negative label are skipped.
        num_classes: K.

    Raises:
        ValueError: a class is K or more.
    """
    pred, labels = np.asarray(pred, np.int64), np.asarray(labels, np.int64)
    labelled = labels >= 0
    pred, labels = pred[labelled], labels[labelled]
    if len(labels) and max(pred.max(), labels.max()) >= num_classes:
        raise ValueError(f"classes up to {max(pred.max(), labels.max())} in a confusion of {num_classes} classes")
    return np.bincount(pred * num_classes + labels, minlength=num_classes**2).reshape(num_classes, num_classes)


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
    """Share of labelled rows whose prediction is right; NaN without any. `counts` is the confusion [K, K]."""
    counts = np.asarray(counts, np.int64)
    return float(np.trace(counts) / counts.sum()) if counts.any() else float("nan")
