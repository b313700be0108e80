"""The profile, the drawn lists and the authors' lists; groups and their figures."""

import os
import pathlib
import tempfile

import numpy as np
import pytest

from sdclr_jax.data.longtail import (
    LongTail,
    balanced_draw,
    capped_draw,
    make_long_tail,
    profile,
    read_list,
    read_long_tail,
)
from sdclr_jax.probe.balancedness import (
    Groups,
    balancedness,
    class_accuracies,
    empty_groups,
    group_classes,
    groups_by_rank,
    groups_by_size,
    weak_figures,
    without_nan,
)

CIFAR10_SIZES = [4500, 2697, 1617, 969, 581, 348, 208, 125, 75, 45]


def test_profile_has_the_published_sizes():
    assert profile(4500, 10, 100).tolist() == CIFAR10_SIZES
    hundred = profile(450, 100, 100)
    assert (hundred.sum(), hundred[0], hundred[-1]) == (9754, 450, 4)
    assert profile(7, 3, 1).tolist() == [7, 7, 7]


@pytest.fixture(scope="module")
def drawn():
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 5000))
    pool = np.arange(50_000)[labels.argsort(kind="stable")].reshape(10, 5000)[:, 500:].ravel()
    return labels, pool, make_long_tail(labels, pool, profile(4500, 10, 100), 45, np.random.default_rng(2))


def test_drawn_lists_are_built_as_the_published_ones(drawn):
    """Lengths, subset relations and the overlap of D_i and D_b are those of the authors' CIFAR-10 files."""
    labels, pool, lists = drawn
    assert [len(part) for part in lists] == [11_165, 11_160, 450]
    assert sorted(np.bincount(labels[lists.imbalanced]), reverse=True) == CIFAR10_SIZES
    assert set(np.bincount(labels[lists.balanced])) == {1116}
    assert len(np.intersect1d(lists.imbalanced, lists.balanced)) == 5699
    assert np.isin(lists.few, lists.imbalanced).all()
    assert np.isin(lists.few, lists.balanced).all()
    for part in lists:
        assert np.isin(part, pool).all()
        assert len(np.unique(part)) == len(part)


def test_a_seed_gives_the_same_lists_and_another_seed_others(drawn):
    labels, pool, lists = drawn
    same = make_long_tail(labels, pool, profile(4500, 10, 100), 45, np.random.default_rng(2))
    other = make_long_tail(labels, pool, profile(4500, 10, 100), 45, np.random.default_rng(3))
    for a, b in zip(lists, same):
        np.testing.assert_array_equal(a, b)
    order = [tuple(np.bincount(labels[part.imbalanced]).argsort()) for part in (lists, other)]
    assert order[0] != order[1], "the class order belongs to the seed"


def test_a_pool_that_is_too_small_is_named(drawn):
    labels, _, _ = drawn
    with pytest.raises(ValueError, match="needs 4500 images, the pool has"):
        make_long_tail(labels, np.arange(40_000), profile(4500, 10, 100), 45, np.random.default_rng(0))
    with pytest.raises(ValueError, match="46 images per class"):
        make_long_tail(labels, np.arange(50_000), profile(4500, 10, 100), 46, np.random.default_rng(0))


def test_balanced_draw():
    labels = np.array([0, 1, 0, 1, 1, 2, 2, 0])
    pool = np.array([0, 1, 2, 3, 4])
    draw = balanced_draw(labels, pool, 2, np.random.default_rng(0))
    assert labels[draw].tolist().count(0) == labels[draw].tolist().count(1) == 2
    assert np.isin(draw, pool).all()
    with pytest.raises(ValueError, match="class 0 has 2 images, 3"):
        balanced_draw(labels, pool, 3, np.random.default_rng(0))


def test_lists_come_back_sorted_and_bad_files_are_refused(tmp_path):
    lists = [np.array([5, 1, 3]), np.array([0, 2]), np.array([9])]
    for kind, indices in zip(("D_i", "D_b", "S_b"), lists):
        np.save(tmp_path / f"cifar100_split4_{kind}.npy", indices)
    read = read_long_tail(tmp_path, "cifar100_", 4, 10)
    assert [part.tolist() for part in read] == [[1, 3, 5], [0, 2], [9]]
    assert isinstance(read, LongTail)
    bad = {
        "occur twice": np.array([1, 1]),
        r"indices 0 \.\. 10": np.array([0, 10]),
        r"indices -1 \.\. 3": np.array([-1, 3]),
        "float64": np.array([0.5]),
        "shape": np.zeros((2, 2), int),
    }
    for message, array in bad.items():
        np.save(tmp_path / "bad.npy", array)
        with pytest.raises(ValueError, match=message):
            read_list(tmp_path / "bad.npy", 10)


class Harmful:
    """A pickle of this makes a file when it is loaded."""

    def __reduce__(self):
        return os.mkdir, (str(pathlib.Path(tempfile.gettempdir()) / "longtail-pickle-was-run"),)


def test_a_pickle_in_a_list_is_not_executed(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([Harmful()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickle"):
        read_list(tmp_path / "evil.npy", 10)
    assert not (pathlib.Path(tempfile.gettempdir()) / "longtail-pickle-was-run").exists()


def test_groups_have_the_published_sizes():
    counts = np.random.default_rng(0).permutation(profile(4500, 10, 100))
    groups = groups_by_rank(counts)
    assert [sorted(counts[g]) for g in groups] == [[969, 1617, 2697, 4500], [208, 348, 581], [45, 75, 125]]
    assert [len(g) for g in groups_by_rank(profile(450, 100, 100))] == [34, 33, 33]
    sizes = group_classes("size", np.array([101, 100, 20, 19]))
    assert [g.tolist() for g in sizes] == [[0], [1, 2], [3]]
    with pytest.raises(ValueError, match="'quantile'; known: rank, size"):
        group_classes("quantile", counts)


def test_balancedness_by_hand():
    labels = np.array([0, 0, 1, 1, 2, 2, 2, 2])
    predicted = np.array([0, 0, 1, 0, 2, 0, 0, 0])
    accuracies = class_accuracies(predicted, labels, 4)
    np.testing.assert_allclose(accuracies, [1, 0.5, 0.25, np.nan])
    result = balancedness(accuracies[:3], groups_by_rank(np.array([9, 5, 1])))
    assert result[:3] == (1.0, 0.5, 0.25)
    assert result.std == pytest.approx(np.sqrt(((1 - 7 / 12) ** 2 + (0.5 - 7 / 12) ** 2 + (0.25 - 7 / 12) ** 2) / 3))
    assert result.all == pytest.approx(7 / 12)


def test_an_empty_group_has_no_figure_and_counts_in_none():
    """Without a warning from NumPy, and without NaN, which JSON has no word for."""
    groups = groups_by_size(np.array([200, 150, 50]))
    result = balancedness(np.array([0.9, 0.8, 0.7]), groups)
    assert (result.few, result.medium) == (None, pytest.approx(0.7))
    assert result.many == pytest.approx(0.85)
    assert result.std == pytest.approx(0.075), "of the two groups that there are"
    assert result.all == pytest.approx(0.8)
    one = balancedness(np.array([0.9, 0.8]), groups_by_size(np.array([200, 150])))
    assert one[1:4] == (None, None, None), "one group has no deviation"
    untested = balancedness(np.array([0.5, np.nan, np.nan]), groups)
    assert untested == (0.5, None, None, None, 0.5), "classes without a test image count nowhere"
    assert balancedness(np.full(3, np.nan), groups) == (None,) * 5
    assert without_nan(np.array([0.5, np.nan])) == [0.5, None]


def test_empty_groups_are_explained():
    assert empty_groups("rank", np.array([3, 2, 1])) == ""
    assert empty_groups("size", np.array([200, 50, 5])) == ""
    assert "no class is in Few: these are the classes of" in empty_groups("size", np.array([200, 50]))
    assert "no class is in Many, Medium, Few: 2 classes make no three" in empty_groups("rank", np.array([9, 5]))
    assert [len(group) for group in group_classes("rank", np.array([9, 5]))] == [0, 0, 0]


def test_figures_on_few_images_are_named_with_what_one_image_moves():
    names = ["ant", "bee", "cat", "dog"]
    groups = Groups(np.array([3]), np.array([2]), np.array([1, 0]))
    lines = weak_figures(np.array([4, 6, 0, 500]), groups, names)
    assert lines == [
        "Few rests on 10 test images (bee 6, ant 4): one of them is up to 12.5 points",
        "All rests on 510 test images (ant 4, bee 6, dog 500): one of them is up to 8.3 points",
    ]
    alone = Groups(np.array([0]), np.array([], int), np.array([], int))
    assert weak_figures(np.array([10]), alone, ["ant"])[0].endswith(
        "10 test images (ant 10): one of them is up to 10.0 points"
    )
    assert weak_figures(np.array([1000] * 10), groups_by_rank(np.arange(10)), list("abcdefghij")) == []


def test_a_capped_draw_takes_all_of_a_small_class():
    labels = np.repeat([0, 1, 2], [9, 2, 5])
    drawn = capped_draw(labels, np.arange(16), 4, np.random.default_rng(0))
    assert np.bincount(labels[drawn]).tolist() == [4, 2, 4]
    with pytest.raises(ValueError, match="class 1 has 2 images, 4 were asked for"):
        balanced_draw(labels, np.arange(16), 4, np.random.default_rng(0))
    same = balanced_draw(labels, np.arange(16), 2, np.random.default_rng(0))
    np.testing.assert_array_equal(same, capped_draw(labels, np.arange(16), 2, np.random.default_rng(0)))
