"""Modal labels against a count by Python, and the networks of a pruned population."""

import argparse
import collections

import jax
import numpy as np
import pytest

from trainlib.analysis.pruned_networks import pruned_params
from trainlib.analysis.pruning_sweep import PruningSweep, add_pruning_flags, exemplar_options, exemplars, modal_labels
from trainlib.core.errors import UserError


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


def test_a_population_is_the_mask_by_magnitude_and_others_that_differ():
    params = {"a": {"kernel": np.random.default_rng(0).standard_normal(4000).astype(np.float32)}}
    networks = list(
        pruned_params(PruningSweep(masks=3, random_share=0.2), params, 0.5, jax.random.key(0), lambda path: True)
    )
    zeros = [np.asarray(network["a"]["kernel"]) == 0 for network in networks]
    np.testing.assert_array_equal(zeros[0], np.abs(params["a"]["kernel"]) < np.median(np.abs(params["a"]["kernel"])))
    for one in zeros[1:]:
        assert one.mean() == pytest.approx(0.5, abs=0.02)
        assert 0.04 < (one & ~zeros[0]).mean() < 0.12
    assert (zeros[1] != zeros[2]).any()


def test_wrong_numbers_are_named():
    assert PruningSweep((0.9, 0.5)).checked().sparsities == [0.5, 0.9]
    for wrong in (
        PruningSweep((0.0,)),
        PruningSweep((1.0,)),
        PruningSweep(()),
        PruningSweep(masks=0),
        PruningSweep(random_share=2.0),
    ):
        with pytest.raises(UserError, match="need sparsities between 0 and 1, at least one mask"):
            wrong.checked()


def test_flags_give_the_population():
    parser = argparse.ArgumentParser()
    add_pruning_flags(parser)
    parser.add_argument("--step", default="last")
    options = exemplar_options(parser.parse_args([]))
    assert options.keys() == {"pruning", "step"}
    assert options["pruning"].checked() == PruningSweep().checked()
    given = ["--sparsities=0.9,0.5", "--masks=2", "--random_share=0.3"]
    assert exemplar_options(parser.parse_args(given))["pruning"].checked() == PruningSweep([0.5, 0.9], 2, 0.3)
    with pytest.raises(UserError, match="is not a list of numbers"):
        exemplar_options(parser.parse_args(["--sparsities=0.9;0.5"]))
