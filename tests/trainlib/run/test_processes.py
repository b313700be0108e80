"""What processes of a run agree on and how they end, shown on three whose steps do not wait for each other.

Whatever still runs at the limit of a test is killed, so that a guard that is gone fails the test and does not hang it.
"""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import pytest

from trainlib.run import processes

LIMIT_S = 60
ROOT = pathlib.Path(__file__).parents[3]
HEAD = """
import random, signal, sys, threading, time
from trainlib.run import processes
from trainlib.core.errors import UserError
from trainlib.run.signals import Stopped, StopRequest
port, index = sys.argv[1:]
processes.initialize(f"127.0.0.1:{port}", 3, int(index))
status = 1
try:
"""
TAIL = """
    status = 0
except UserError as error:
    print(error, flush=True)
except Stopped:
    status = 75
finally:
    processes.shutdown(status)
    sys.exit(status)
"""


@pytest.fixture
def three():
    """three(body) -> three running processes of it, joined; killed after `LIMIT_S`."""
    started = []
    limit = threading.Timer(LIMIT_S, lambda: [program.kill() for program in started])

    def start(body):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        limit.start()
        code = HEAD + textwrap.indent(textwrap.dedent(body), "    ") + TAIL
        environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
        for index in range(3):
            command = [sys.executable, "-c", code, port, str(index)]
            streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            started.append(subprocess.Popen(command, env=environment, **streams))
        return started

    yield start
    limit.cancel()
    for program in started:
        with program:  # waits for it and closes its streams
            program.kill()


def ends(programs):
    """[(exit code, output, errors)]"""
    both = [program.communicate() for program in programs]
    return [(program.returncode, out.split(), err) for program, (out, err) in zip(programs, both)]


def test_alone_nothing_waits():
    assert (processes.count(), processes.index(), processes.is_first()) == (1, 0, True)
    assert processes.all_gather_json({"a": 1}) == [{"a": 1}]
    assert processes.broadcast_from_first(3) == 3
    assert processes.AllReduceMax()("x", 4) == 4
    assert not processes.stops_after(1)
    processes.require_same("this", 1)
    processes.shutdown(0)


def test_values_of_all_in_their_order_what_nobody_answers_and_what_must_be_the_same(three):
    body = """
    number = processes.index()
    print(processes.all_gather_json([number, "x"])[2][0], processes.broadcast_from_first(number + 7))
    with processes.AllReduceMax() as agree:
        print(*(agree(str(step), step * (number + 1) % 5) for step in range(4)), flush=True)
        waits = threading.Thread(target=agree, args=("asked by two", 1))
        if number < 2:
            waits.start()
        processes.all_gather_json("all three are here")
        assert number == 2 or waits.is_alive()
    if number < 2:
        waits.join()
    processes.require_same("the number", 3)
    processes.require_same("the colour", "red" if number < 2 else "blue")
    """
    results = ends(three(body))
    for code, out, err in results:
        assert code == 1, err
        assert out[:6] == ["2", "7", "0", "3", "4", "4"]
    seen = " ".join(word for _, out, _ in results for word in out)
    assert "the colour of process 2 differs from process 0" in seen


@pytest.mark.parametrize("told", [0, 2])
def test_a_stop_comes_after_the_same_step_though_they_drift_apart(three, told):
    """The furthest has done many more steps than the last; all end at its step."""
    body = """
    pace = (0.002, 0.005, 0.02)[processes.index()]
    with StopRequest() as stop:
        for step in range(100000):
            if step == (100, 0, 0)[processes.index()]:
                print("ready", flush=True)
            time.sleep(pace * random.random())
            if stop.stops_after(step + 1):
                print(step + 1)
                raise Stopped
    """
    programs = three(body)
    for program in programs:
        assert program.stdout.readline() == "ready\n"
    programs[told].send_signal(signal.SIGTERM)
    results = ends(programs)
    assert [code for code, _, _ in results] == [75] * 3, results
    assert len({out[0] for _, out, _ in results}) == 1
    assert int(results[0][1][0]) > 100
    assert all("another process was asked to stop" in err for i, (_, _, err) in enumerate(results) if i != told)


def test_a_last_save_that_fails_ends_all_with_its_error(three):
    body = """
    with StopRequest() as stop:
        print("ready", flush=True)
        step = 0
        while not stop.stops_after(step := step + 1):
            time.sleep(0.01)
        if processes.is_first():
            raise UserError("no room")
        processes.broadcast_from_first("saved")
        raise Stopped
    """
    programs = three(body)
    for program in programs:
        assert program.stdout.readline() == "ready\n"
    programs[1].send_signal(signal.SIGTERM)
    results = ends(programs)
    assert [code for code, _, _ in results] == [1] * 3, results
    assert results[0][1] == ["no", "room"]


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_one_ends_all_wherever_they_are(three, failing):
    """One waits for a value, one is in long work; the traceback of a bug is seen."""
    body = f"""
    processes.all_gather_json("all three are here")
    if processes.index() == {failing}:
        1 / 0
    if processes.index() == 2:
        time.sleep({10 * LIMIT_S})
    processes.all_gather_json(1)
    """
    results = ends(three(body))
    assert [code for code, _, _ in results] == [1] * 3, results
    assert "ZeroDivisionError" in results[failing][2]
    assert all(
        f"process {failing}: ended with an error" in err for i, (_, _, err) in enumerate(results) if i != failing
    )
