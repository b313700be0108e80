"""The picture of a run's course, from records written by hand."""

import sys

import numpy as np
import pytest

from sdclr_jax import curve
from sdclr_jax.report.training_plot import draw_training
from tests.pixels import count_by_panel
from trainlib.analysis.plots import COLORS, read_runs, series
from trainlib.core.errors import UserError
from trainlib.run.metrics import MetricWriter


@pytest.fixture
def run(tmp_path):
    """Three epochs of two steps with masks of two layers."""
    folder = tmp_path / "run"
    folder.mkdir()
    with MetricWriter(folder) as writer:
        for step in range(1, 7):
            writer.write(step, {"loss": 7 / step if step != 4 else np.nan, "learning_rate": 0.5 - step / 20})
            if step % 2:
                masks = {"mask/sparsity": 0.9, "mask/changed": 0.9 / step}
                layers = {"mask/sparsity/backbone/conv1": 0.1 * step, "mask/sparsity/backbone/layer4/conv2": 0.95}
                writer.write(step, masks | layers)
    return folder


def test_a_series_has_the_steps_at_which_its_figure_was_written(run):
    records = read_runs([run])[str(run)]
    steps, losses = series(records, "loss")
    np.testing.assert_array_equal(steps, range(1, 7))
    np.testing.assert_allclose(losses[[0, 5]], [7, 7 / 6])
    assert np.isnan(losses[3])
    np.testing.assert_array_equal(series(records, "mask/changed")[0], [1, 3, 5])
    assert [len(part) for part in series(records, "val/accuracy")] == [0, 0]


def test_the_picture_is_written_for_runs_with_and_without_masks(run, tmp_path, monkeypatch, capsys):
    simclr = tmp_path / "simclr"
    simclr.mkdir()
    with MetricWriter(simclr) as writer:
        writer.write(1, {"loss": 6.0, "learning_rate": 0.5})
    draw_training(tmp_path / "one.png", read_runs([simclr]))
    output = tmp_path / "sub" / "both.png"
    monkeypatch.setattr(sys, "argv", ["curve", str(simclr), str(run), "--kind=training", f"--output={output}"])
    curve.main(curve._parser().parse_args())
    assert str(output) in capsys.readouterr().out
    assert (count_by_panel(tmp_path / "one.png", COLORS[0], 1, 2) > 10).all(), "one point for each figure"
    first, second = (count_by_panel(output, color, 2, 2) for color in COLORS[:2])
    assert (first > 10).tolist() == [[True, True], [True, False]], "no masks; the legend is below at the left"
    assert (second > 100).all(), "lines of loss, rate, sparsity and changed masks"
    with pytest.raises(UserError, match="nothing has no record of a loss"):
        read_runs([run, tmp_path / "nothing"])
