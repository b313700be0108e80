"""Confusion and IoU against loops and cases worked out by hand."""

import numpy as np
import pytest

from vmnet_jax.learn.metrics import accuracy, confusion, iou_from_confusion


def test_confusion_counts_pairs():
    rng = np.random.default_rng(0)
    pred, labels = rng.integers(0, 5, 300), rng.integers(-1, 5, 300)
    expected = np.zeros((5, 5), np.int64)
    for p, t in zip(pred, labels):
        if t >= 0:
            expected[p, t] += 1
    counts = confusion(pred, labels, 5)
    np.testing.assert_array_equal(counts, expected)
    np.testing.assert_array_equal(
        confusion(pred[:100], labels[:100], 5) + confusion(pred[100:], labels[100:], 5), counts
    )


def test_confusion_refuses_unknown_classes():
    with pytest.raises(ValueError, match="classes up to 7"):
        confusion(np.array([0, 7]), np.array([0, 0]), 5)
    with pytest.raises(ValueError, match="classes up to 6"):
        confusion(np.array([0, 1]), np.array([0, 6]), 5)


def test_unlabelled_rows_count_nothing():
    assert not confusion(np.array([1, 2]), np.array([-1, -1]), 3).any()
    assert not confusion(np.zeros(0, np.int32), np.zeros(0, np.int32), 3).any()


def test_iou_by_hand():
    # class 0: 3 hits, 1 row predicted 0 but true 1; class 1: 2 hits; class 2: never predicted, never true
    counts = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    iou, mean = iou_from_confusion(counts)
    np.testing.assert_allclose(iou, [3 / 4, 2 / 3, np.nan])
    assert mean == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert accuracy(counts) == pytest.approx(5 / 6)


def test_class_that_is_only_predicted_counts_as_zero():
    iou, mean = iou_from_confusion(np.array([[4, 0], [2, 0]]))
    np.testing.assert_allclose(iou, [4 / 6, 0])
    assert mean == pytest.approx(1 / 3)


def test_nothing_labelled_is_nan():
    iou, mean = iou_from_confusion(np.zeros((3, 3), np.int64))
    assert np.isnan(iou).all()
    assert np.isnan(mean)
    assert np.isnan(accuracy(np.zeros((3, 3), np.int64)))
