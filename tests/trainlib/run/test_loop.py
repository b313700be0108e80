"""When things are due, the progress line, and means between two logs, also over an interruption."""

import json
import logging
import types
from typing import NamedTuple

import numpy as np
import pytest
from ml_collections import ConfigDict

from trainlib.core.errors import Stopped
from trainlib.core.text import duration
from trainlib.run.loop import MetricWindow, Progress, Schedule, TrainRun, is_due
from trainlib.run.metrics import read_metrics
from trainlib.run.workdir import open_workdir


def test_due_at_multiples_and_at_the_end():
    assert [step for step in range(12) if is_due(step, 4, 11)] == [4, 8, 11]


def test_zero_means_never_and_negative_is_refused():
    assert not any(is_due(step, 0, 5) for step in range(6))
    with pytest.raises(ValueError, match="-1"):
        is_due(1, -1, 5)


def test_progress_forgets_the_slow_start():
    clock = iter([0.0, 100.0, 101.0, 102.0, 104.0]).__next__
    progress = Progress(total=400, start=0, window=2, clock=clock)
    assert progress.line(10) == "step 10/400  10 s/step  ETA 1h 05m"
    progress.line(20)
    assert progress.line(30) == "step 30/400  10 steps/s  ETA 37s"  # 10 to 30 in 2 s
    assert progress.line(42) == "step 42/400  7.33 steps/s  ETA 49s"  # 20 to 42 in 3 s


def test_progress_counts_from_the_restored_step():
    clock = iter([0.0, 10.0]).__next__
    assert Progress(total=130, start=100, clock=clock).line(120) == "step 120/130  2 steps/s  ETA 5s"


def test_progress_without_time_or_steps_gives_no_speed():
    clock = iter([5.0, 5.0]).__next__
    assert Progress(total=9, clock=clock).line(0) == "step 0/9"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59.6, "1m 00s"), (133, "2m 13s"), (3900, "1h 05m"), (360000, "4d 04h")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


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


class CountingState(NamedTuple):
    """A training state that counts its steps."""

    step: np.ndarray


class Batches(list):
    """Batches without a wait for them."""

    waited_s = 0.0


def train(folder, log_every, *, total=25, stop_after=None):
    """A run whose loss after step n is n; returns (step, loss) of its log."""
    stop = types.SimpleNamespace(stops_after=lambda step: step == stop_after, requested=False)
    schedule = Schedule(total, log_every, save_every=0, keep=1)
    state = CountingState(np.array(0))
    with (
        open_workdir(folder, ConfigDict()) as workdir,
        TrainRun(workdir, stop, state, schedule, advice="", rate=lambda step: 0.5) as run,
    ):
        run.begin(run.state)
        for step, _ in run.steps(Batches([None] * (total - run.start))):
            run.finish(step, CountingState(np.array(step + 1)), {"loss": np.float32(step + 1)}, "a batch")
    return [(line["step"], line["loss"]) for line in read_metrics(folder)]


def test_the_first_steps_are_logged_and_later_means_stay_those_of_all_their_steps(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        logged = train(tmp_path, log_every=20)
    assert logged == [(1, 1), (2, 2), (5, 4), (10, 8), (20, 10.5), (25, 23)]
    assert [m.split("  ")[0] for m in caplog.messages if m.startswith("step ")] == [f"step {n}/25" for n, _ in logged]


def test_a_log_between_two_first_ones(tmp_path):
    assert train(tmp_path, log_every=3, total=12) == [
        (1, 1),
        (2, 2),
        (3, 2),
        (5, 4.5),
        (6, 5),
        (9, 8),
        (10, 10),
        (12, 11),
    ]


def test_no_step_is_logged_if_none_is_asked_for(tmp_path):
    assert train(tmp_path, log_every=0) == []


@pytest.mark.parametrize("stop_after", [3, 5, 8, 13])
def test_a_run_stopped_among_its_first_steps_logs_what_an_uninterrupted_one_does(tmp_path, stop_after):
    whole = train(tmp_path / "whole", log_every=20)
    with pytest.raises(Stopped):
        train(tmp_path / "stopped", log_every=20, stop_after=stop_after)
    assert train(tmp_path / "stopped", log_every=20) == whole
