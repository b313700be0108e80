"""Signals: save and leave, leave at once in a compile, leave at once at the second (fault table, row 23)."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from trainlib.core.cli import STOPPED
from trainlib.core.errors import Stopped
from trainlib.run.signals import StopRequest

SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
LIMIT_S = 30  # of one test


@pytest.fixture
def start():
    """start(body) -> a program with `body` inside a StopRequest, which has said "ready"; killed after `LIMIT_S`."""
    started = []
    limit = threading.Timer(LIMIT_S, lambda: [run.kill() for run in started])
    limit.start()

    def start_one(body):
        started.append(run_in_stop_request(body))
        assert started[-1].stdout.readline() == "ready\n"
        return started[-1]

    yield start_one
    limit.cancel()
    for run in started:
        with run:  # waits for it and closes its streams
            run.kill()


def run_in_stop_request(body):
    code = "import sys, time, hashlib\nfrom trainlib.run.signals import StopRequest, Stopped\n"
    code += "try:\n    with StopRequest() as stop:\n"
    code += textwrap.indent(textwrap.dedent(body), " " * 8)
    code += "\nexcept Stopped as stopped:\n    print(stopped)\n    sys.exit(75)\n"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )


LOOP = """
print("ready", flush=True)
for step in range(1000):
    time.sleep(0.05)
    if stop.requested:
        print("saved")
        raise Stopped(f"stopped at step {step}")
"""

# One call into C without the interpreter lock, as a compile is: no Python handler runs before it ends, after minutes.
IN_C = "print('ready', flush=True); hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"


@SIGNALS
def test_a_loop_ends_its_step_and_saves_once(start, number):
    run = start(LOOP)
    run.send_signal(number)
    out, err = run.communicate()
    assert run.returncode == STOPPED == 75
    assert out.startswith("saved\nstopped at step")
    assert "will save and stop" in err


def test_the_same_signal_twice_in_a_moment_counts_once(start):
    run = start(LOOP)
    for _ in range(3):  # as `timeout` does
        run.send_signal(signal.SIGTERM)
        time.sleep(0.005)
    out, _ = run.communicate()
    assert run.returncode == STOPPED
    assert out.startswith("saved")


@SIGNALS
def test_busy_work_in_c_ends_within_moments(start, number):
    run = start(f"with stop.busy('compiling'):\n    {IN_C}")
    run.send_signal(number)
    _, err = run.communicate()
    assert run.returncode == STOPPED
    assert f"{signal.Signals(number).name} during compiling" in err


@pytest.mark.parametrize("body", [IN_C, "print('ready', flush=True)\nwhile True:\n    time.sleep(0.1)"])
def test_a_second_signal_ends_at_once_wherever_it_is(start, body):
    run = start(body)
    run.send_signal(signal.SIGTERM)
    assert "will save and stop" in run.stderr.readline()
    time.sleep(0.3)  # two signals within 0.2 s count as one
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    _, err = run.communicate()
    assert run.returncode == 1
    assert "second signal" in err


def wait_for(condition):
    end = time.monotonic() + 5
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_requested_busy_and_everything_put_back():
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with StopRequest() as stop:
        assert not stop.requested
        with stop.busy("reading"):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(lambda: stop.requested)
        with pytest.raises(Stopped, match="before compiling"), stop.busy("compiling"):
            raise AssertionError("entered although a signal had come")
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert signal.set_wakeup_fd(-1) == -1
    with StopRequest() as stop:
        assert not stop.requested


def test_a_signal_whose_byte_an_event_loop_took_counts_too():
    with StopRequest() as stop:
        own = signal.set_wakeup_fd(-1)
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: stop.requested)
        signal.set_wakeup_fd(own)
