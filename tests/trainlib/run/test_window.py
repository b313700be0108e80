"""Means between two logs, also over an interruption."""

import json

import numpy as np
import pytest

from trainlib.run.window import MetricWindow


def add(window, steps):
    for step in steps:
        window.add(step, "a batch", {"loss": np.float32(1 / (step + 3)), "norm": float(step)})


def test_means_since_the_last_close():
    window = MetricWindow("")
    add(window, range(2))
    assert window.close()["norm"] == 0.5
    add(window, [7])
    assert window.close() == {"loss": pytest.approx(0.1), "norm": 7}


@pytest.mark.parametrize("stop", [0, 1, 4, 5])
def test_a_window_goes_on_where_its_notes_were_taken(stop):
    whole, first, second = (MetricWindow("") for _ in range(3))
    add(whole, range(5))
    add(first, range(stop))
    second.resume(json.loads(json.dumps(first.notes())))
    add(second, range(stop, 5))
    assert second.close() == whole.close(), "to the last bit"
    assert second.notes() == {}
