"""The picture of training runs, from records written by hand."""

import sys

import numpy as np
import pytest
from PIL import Image

from trainlib.analysis.plots import COLORS
from trainlib.core.errors import UserError
from trainlib.run.metrics import MetricWriter, read_runs
from vmnet_jax import curve
from vmnet_jax.report.training_plot import draw_training


def write_run(folder, steps, *, validated):
    folder.mkdir()
    with MetricWriter(folder) as writer:
        for step in range(10, steps + 1, 10):
            writer.write(step, {"loss": 30 / step, "learning_rate": 0.1 - step / 1000, "gradient_norm": 1.0 + step})
        if validated:
            writer.write(steps, {"val/mean_iou": 0.5, "val/accuracy": 0.75})
    return folder


def has_color(path, color):
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return (pixels == [int(color[k : k + 2], 16) for k in (1, 3, 5)]).all(-1).sum() > 20


def test_every_run_has_its_line(tmp_path, monkeypatch, capsys):
    runs = [write_run(tmp_path / name, 80, validated=name == "a") for name in "ab"]
    output = tmp_path / "pictures" / "both.png"
    monkeypatch.setattr(sys, "argv", ["curve", *map(str, runs), f"--output={output}"])
    curve.main(curve.make_parser().parse_args())
    assert str(output) in capsys.readouterr().out
    assert has_color(output, COLORS[0])
    assert has_color(output, COLORS[1])
    draw_training(tmp_path / "one.png", read_runs(runs[:1]))
    assert not has_color(tmp_path / "one.png", COLORS[1])


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(UserError, match="nothing has no record of a loss"):
        read_runs([tmp_path / "nothing"])
