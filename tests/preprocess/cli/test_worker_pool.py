"""Every task is answered once, whatever happens to the processes."""

import math
import os
import signal

import pytest

from preprocess.cli.worker_pool import WorkerDied, run_in_workers


@pytest.mark.parametrize("workers", [0, 2])
def test_every_task_once(workers):
    assert sorted(run_in_workers(math.factorial, range(7), workers)) == [(k, math.factorial(k)) for k in range(7)]


def test_no_tasks():
    assert list(run_in_workers(math.factorial, [], 2)) == []


def test_a_dead_worker_loses_only_its_task():
    """os._exit(k) ends the process with status k; it stands for a crash in the middle of a list of tasks."""
    results = dict(run_in_workers(os._exit, [3, 0, 5], 2))
    assert results == {0: WorkerDied(3), 1: WorkerDied(0), 2: WorkerDied(5)}
    assert str(results[0]) == "its worker process ended with exit code 3"


def test_a_killed_worker_is_replaced_and_the_rest_is_done():
    results = dict(run_in_workers(eval, ["1 + 1", "__import__('os').kill(__import__('os').getpid(), 9)", "2 + 2"], 1))
    assert results == {0: 2, 1: WorkerDied(-signal.SIGKILL), 2: 4}
    assert "killed by signal 9, perhaps for lack of memory" in str(results[1])


def test_closing_stops_the_processes():
    results = run_in_workers(eval, ["__import__('os').getpid()", "__import__('time').sleep(60)"], 1)
    _, pid = next(results)
    results.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
