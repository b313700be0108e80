"""Shared set-up of the tests: CPU only, four simulated devices, quick compiles, and where the stored results of the
original programs are.

XLA compiles in half the time with few optimisations, for this process and those that a test starts. A file that
compares stored bits, or computes more than it compiles, says so with `pytestmark = pytest.mark.optimized`. Every
compiled program goes to the persistent cache, however small: workers and processes share it, and a file may give up its
programs at its end.
"""

import ctypes
import gc
import os
import pathlib
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest

from tests.durations import longest_first
from tests.parity_tools import FIXTURES, TrackedNpz

GLIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
if GLIBC is not None:  # what is freed goes back to the system: at once from 1 MiB on, the rest by malloc_trim
    GLIBC.mallopt(M_MMAP_THRESHOLD, 2**20)
    GLIBC.mallopt(M_ARENA_MAX, 2)


def pytest_collection_modifyitems(config, items):
    """Workers take the files that took longest first, so that none is left with a long one at the end."""
    if hasattr(config, "workerinput"):
        items[:] = longest_first(items)


def pytest_runtest_setup(item):
    """For `tests.durations`: which process ran the test."""
    item.user_properties.append(("worker", os.getpid()))


@pytest.fixture(scope="module", autouse=True)
def _memory_of_the_file(request):
    """Compiles as the file says, and gives its compiled programs back to the system at its end."""
    if any(mark.name == "optimized" for mark in request.node.iter_markers()):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
            jax.config.update("jax_disable_most_optimizations", False)
            yield
        jax.config.update("jax_disable_most_optimizations", os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1")
    else:
        yield
    gc.enable()  # a command's `cli.run` puts collecting off, and `cli.imported` keeps what exists by then
    gc.unfreeze()
    jax.clear_caches()
    gc.collect()
    if GLIBC is not None:
        GLIBC.malloc_trim(0)


@pytest.fixture(scope="session")
def fixtures() -> pathlib.Path:
    """Folder that holds `vmnet/` and `sdclr/`; another one of the same layout is named by PARITY_FIXTURES."""
    return FIXTURES


_opened: dict[str, TrackedNpz] = {}


@pytest.fixture(scope="session")
def open_fixture(fixtures):
    """open_fixture("vmnet/misc.npz") -> the tracked file, the same object for every test of the process."""

    def open_one(name: str) -> TrackedNpz:
        if name not in _opened:
            _opened[name] = TrackedNpz(fixtures / name)
        return _opened[name]

    return open_one
