"""Order, errors, bounded run-ahead and closing of the prefetcher."""

import threading
import time
import types

import pytest

from trainlib.run import prefetch
from trainlib.run.prefetch import Prefetch


def test_keeps_the_order_although_batches_finish_out_of_order():
    def make_batch(step):
        time.sleep(0.002 * (step % 4 == 0))
        return step * step

    with Prefetch(make_batch, 3, 40, workers=4, depth=8) as batches:
        assert list(batches) == [step * step for step in range(3, 40)]


def test_an_error_comes_at_its_step_and_ends_the_iteration():
    def make_batch(step):
        if step == 2:
            raise OSError("scene gone")
        time.sleep(0.01 * (step < 2))
        return step

    batches = Prefetch(make_batch, 0, 10, workers=3, depth=6)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(OSError, match="scene gone"):
        next(batches)
    assert list(batches) == []


def test_never_runs_further_ahead_than_its_depth():
    started = []
    with Prefetch(lambda step: started.append(step), 0, 100, workers=2, depth=3) as batches:
        for taken in range(1, 6):
            next(batches)
            time.sleep(0.02)
            assert len(started) <= taken + 3
    assert len(started) <= 8


def test_measures_the_consumers_waiting_only(monkeypatch):
    """On a clock that the test moves: 10 s while the consumer waits, 100 s while it works."""
    now, waits = [0.0], threading.Event()

    def monotonic():
        waits.set()
        return now[0]

    def make_batch(step):
        if step == 0:
            assert waits.wait(30)
            now[0] += 10

    monkeypatch.setattr(prefetch, "time", types.SimpleNamespace(monotonic=monotonic))
    with Prefetch(make_batch, 0, 2, workers=1, depth=2) as batches:
        next(batches)
        assert batches.waited_s == 10
        now[0] += 100
        next(batches)
        assert batches.waited_s == 10


def test_close_ends_the_threads_and_may_be_repeated():
    batches = Prefetch(lambda step: step, 0, 50, workers=3, depth=3)
    next(batches)
    batches.close()
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]
    assert list(batches) == []


def test_an_empty_range_and_impossible_sizes():
    assert list(Prefetch(lambda step: step, 5, 5)) == []
    with pytest.raises(ValueError, match="0 and 2"):
        Prefetch(lambda step: step, 0, 1, workers=0, depth=2)
