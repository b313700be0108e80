"""Summaries of a confusion that can be counted by hand, and the baseline that sees colour and height only."""

import csv
import json

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex

from tests.pixels import where
from vmnet_jax.commands.baseline import color_and_height, train_baseline
from vmnet_jax.report.report import format_summary, summary, write_report

NAMES = ["floor", "wall", "chair", "moon"]
TABLE = np.array([[6, 2, 0, 0], [1, 10, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])  # rows predicted, columns true


def test_summary_counts_by_hand():
    result = summary(TABLE, NAMES)
    iou = [c["iou"] for c in result["classes"]]
    assert iou == [pytest.approx(6 / 9), pytest.approx(10 / 14), 0.0, None]
    assert result["mean_iou"] == pytest.approx((6 / 9 + 10 / 14 + 0) / 3)
    assert result["accuracy"] == pytest.approx(16 / 20)
    assert [c["recall"] for c in result["classes"]] == [pytest.approx(6 / 7), pytest.approx(10 / 12), 0.0, None]
    assert [c["vertices"] for c in result["classes"]] == [7, 12, 1, 0]


def test_the_table_shows_every_class_and_the_files_hold_the_numbers(tmp_path):
    result = summary(TABLE, NAMES)
    text = format_summary(result)
    assert all(name in text for name in NAMES)
    assert "mean IoU 46.0 %, accuracy 80.0 %" in text
    write_report(tmp_path / "eval", result, TABLE, NAMES)
    assert json.loads((tmp_path / "eval" / "report.json").read_text()) == result
    rows = list(csv.reader((tmp_path / "eval" / "confusion.csv").read_text().splitlines()))
    assert rows[0][1:] == NAMES
    np.testing.assert_array_equal(np.array([row[1:] for row in rows[1:]], int), TABLE)
    shares = 100 * TABLE[:3, :3] / TABLE[:3, :3].sum(0)  # nobody is of the class "moon"
    for share in np.unique(shares):  # one square of the picture for each, larger than the colour bar
        drawn = where(tmp_path / "eval" / "confusion.png", to_hex(colormaps["Blues"](share / 100))).sum()
        assert drawn > 500 * (shares == share).sum(), share


def test_without_a_label_there_are_no_figures_and_the_report_is_strict_json(tmp_path):
    table = np.zeros((4, 4), np.int64)
    result = summary(table, NAMES)
    assert (result["mean_iou"], result["accuracy"]) == (None, None)
    assert "no vertex has a label" in format_summary(result)
    write_report(tmp_path, result, table, NAMES)

    def refuse(word):
        raise AssertionError(word)

    assert json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse) == result
    assert not (tmp_path / "confusion.png").exists()


def test_the_baseline_learns_what_height_tells(scenes):
    """The sheets are labelled by height and brightness: the baseline must be good on one that it has not seen."""
    model = train_baseline(scenes[:5])
    unseen = scenes[5]
    labelled = unseen.labels >= 0
    right = model.predict(color_and_height(unseen))[labelled] == unseen.labels[labelled]
    assert right.mean() > 0.85
