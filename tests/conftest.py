"""Shared set-up of the tests: CPU only, four simulated devices, a persistent compilation cache, and where the stored
results of the original programs lie."""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".cache" / "jax"))

import pytest

from tests.parity_tools import FIXTURES, TrackedNpz


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
