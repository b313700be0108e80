"""Shared set-up of the tests: CPU only, four simulated devices, a persistent compilation cache, and where the stored
results of the original programs lie."""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parents[1] / ".cache" / "jax"))

import numpy as np
import pytest

FIXTURES = pathlib.Path(os.environ.get("PARITY_FIXTURES", pathlib.Path(__file__).parent / "data"))


@pytest.fixture(scope="session")
def fixtures() -> pathlib.Path:
    """Folder that holds `vmnet/` and `sdclr/`; another one of the same layout is named by PARITY_FIXTURES."""
    return FIXTURES


class TrackedNpz:
    """An .npz that remembers which of its keys were read, so that a suite can show that it compared all of them."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self._file = np.load(path)
        self.unread = set(self._file.files)

    def __getitem__(self, key: str) -> np.ndarray:
        value = self._file[key]
        self.unread.discard(key)
        return value

    def __contains__(self, key: str) -> bool:
        return key in self._file.files

    def keys(self) -> list[str]:
        """Names of all arrays, none of them counted as read."""
        return list(self._file.files)


_opened: dict[str, TrackedNpz] = {}


@pytest.fixture(scope="session")
def open_fixture(fixtures):
    """open_fixture("vmnet/misc.npz") -> the tracked file, the same object for every test of the process."""

    def open_one(name: str) -> TrackedNpz:
        if name not in _opened:
            _opened[name] = TrackedNpz(fixtures / name)
        return _opened[name]

    return open_one
