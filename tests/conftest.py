"""Shared set-up of the tests: CPU only, four simulated devices, a persistent compilation cache, and where the stored
results of the original programs lie."""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".cache" / "jax"))

import pytest

FIXTURES = pathlib.Path(os.environ.get("PARITY_FIXTURES", pathlib.Path(__file__).parent / "data"))


@pytest.fixture(scope="session")
def fixtures() -> pathlib.Path:
    """Folder that holds `vmnet/` and `sdclr/`; another one of the same layout is named by PARITY_FIXTURES."""
    return FIXTURES
