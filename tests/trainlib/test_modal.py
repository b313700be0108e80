"""Modal labels against a count by Python."""

import collections

import numpy as np

from trainlib.modal import exemplars, modal_labels


def by_hand(predictions):
    """The first of the most frequent, in the members' order, as Counter gives it."""
    return [collections.Counter(column).most_common(1)[0][0] for column in predictions.T.tolist()]


def test_modal_labels_are_those_of_a_count_and_the_earliest_member_breaks_ties():
    predictions = np.random.default_rng(0).integers(0, 4, (5, 300)).astype(np.int16)
    np.testing.assert_array_equal(modal_labels(predictions, 4), by_hand(predictions))
    np.testing.assert_array_equal(modal_labels(np.array([[2, 1], [0, 1]]), 3), [2, 1])
    np.testing.assert_array_equal(modal_labels(predictions[:1], 4), predictions[0])


def test_exemplars_are_where_the_modal_labels_differ():
    dense = np.array([[0, 1, 2], [0, 1, 1], [1, 1, 2]])
    pruned = np.array([[0, 2, 2], [1, 2, 2], [1, 1, 0]])
    np.testing.assert_array_equal(exemplars(dense, pruned, 3), [True, True, False])
