"""Names under which kernels are cached, what is said and timed when they are compiled, arrays of one allocation."""

import logging
import os
import subprocess
import sys
import types

import numpy as np
import pytest
from numba.core import event

from kernels.host import jit
from kernels.host.simplify.rounds import _round


def test_a_change_in_a_sub_folder_changes_the_checksum(tmp_path):
    source = tmp_path / "kernels" / "host" / "simplify" / "cost.py"
    source.parent.mkdir(parents=True)
    checksums = set()
    for text in ("A = 1\n", "A = 2\n"):
        source.write_text(text)
        jit.checksum.cache_clear()
        checksums.add(jit.checksum(tmp_path / "kernels"))
    jit.checksum.cache_clear()
    assert len(checksums) == 2


def test_the_name_of_a_kernel_holds_the_checksum_of_the_whole_package():
    assert jit.PACKAGE.name == "kernels"
    assert _round.py_func.__qualname__ == f"_round_{jit.checksum(jit.PACKAGE):08x}"


PROCESS = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
import numpy as np
from kernels.host import jit
from kernels.host.voxel import morton, voxels
print(jit.is_cold("host.voxel"))
morton.box(np.zeros((1, 3)))
morton.box(np.zeros((1, 3), int))
print(jit.is_cold("host.voxel"))
"""


def test_kernels_that_are_not_on_disk_are_announced_once_before_they_are_compiled(tmp_path):
    """The first process compiles two kernels, the second finds them."""
    command, environment = [sys.executable, "-c", PROCESS], {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    cold, warm = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
        for _ in range(2)
    )
    seconds = jit.COMPILE_SECONDS["host.voxel"]
    assert cold == ["True", f"Compiling kernels, once for this installation, about {seconds} s", "False"]
    assert warm == ["False", "False"]


def made_up_kernel(name):
    """What Numba says of a function that it begins to compile."""
    function = types.FunctionType((lambda: None).__code__, {"__name__": name})
    return event.Event(
        "numba:compile", event.EventStatus.START, {"dispatcher": types.SimpleNamespace(py_func=function)}
    )


@pytest.fixture
def watch(monkeypatch):
    """A watch of this test alone, by a clock that the test sets: (watch, its time in a list)."""
    now, watch = [0.0], jit._CompileWatch()
    monkeypatch.setattr(jit, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(jit, "_watch", watch)
    return watch, now


def test_the_clock_stands_still_while_kernels_are_compiled(watch):
    (watch, now), clock = watch, jit.clock
    for now[0], step in ((10, watch.on_start), (12, watch.on_start), (15, watch.on_end), (20, watch.on_end)):
        assert clock() == min(now[0], 10)
        step(made_up_kernel("kernels.host.voxel.morton"))
    now[0] = 25
    assert clock() == 15


def test_other_peoples_functions_are_not_announced(watch, caplog):
    with caplog.at_level(logging.INFO):
        watch[0].on_start(made_up_kernel("their.module"))
    assert not caplog.messages


def test_a_kernel_for_networks_is_announced_and_its_caller_not_again(watch, caplog):
    with caplog.at_level(logging.INFO):
        for name in ("kernels.cpu_ffi.loops.simd", "kernels.cpu_ffi.loops.attention"):
            watch[0].on_start(made_up_kernel(name))
            watch[0].on_end(made_up_kernel(name))
    assert len(caplog.messages) == 1


def test_arrays_have_their_forms_and_share_nothing():
    wanted = [((5, 3), np.float64), (7, np.uint8), (0, np.int64), ((0, 4), np.int32), (3, np.int32), ((2, 2), np.int64)]
    arrays = jit.empty_together(*wanted)
    for number, (array, (shape, dtype)) in enumerate(zip(arrays, wanted)):
        assert array.shape == (shape if isinstance(shape, tuple) else (shape,))
        assert array.dtype == dtype
        assert array.flags.c_contiguous
        assert array.size == 0 or array.ctypes.data % 64 == 0
        array[...] = number + 1
    for number, array in enumerate(arrays):
        assert (array == number + 1).all()


def test_one_allocation():
    first, second = jit.empty_together((10, np.float64), (10, np.int32))
    assert first.base is not None
    assert first.base is second.base
