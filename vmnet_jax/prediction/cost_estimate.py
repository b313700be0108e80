"""The expected cost of a prediction, printed before it begins."""

import contextlib
import os
import time
from typing import NamedTuple

from numba.core import event as numba_event

from preprocess.scene.scene_file import Scene
from trainlib.core.text import pluralize
from trainlib.run.memory import GIB, StepMemory, device_memory

# Of the whole process, measured on scans of 0.7 and 2.1 million vertices with voxels of 2 and 8 cm; good to a third.
BASE_BYTES, BYTES_PER_VERTEX, BYTES_PER_VOXEL = 0.9 * GIB, 800, 1900
FILES_BY_PREPARATION = 3.5
"""Time for page, picture and PLY files by that for reading the mesh and building its levels, to a factor of two."""


class Expectation(NamedTuple):
    """The expected cost of one mesh, once it is read, its levels are built and its pass is compiled."""

    passes: int  # forward passes, over all tiles and votes
    device: int  # bytes of one pass on a device, from the compiler
    host: float  # bytes of the process, by the numbers of vertices and voxels
    network_s: float | None  # seconds of the passes, good to a factor of two; None where the compiler counts no bytes
    files_s: float  # seconds for writing the results

    def __str__(self) -> str:
        device = f"{self.device / GIB:.2f} of {device_memory() / GIB:.1f} GiB on the device"
        host = f"{self.host / GIB:.1f} of {host_memory() / GIB:.1f} GiB in all"
        network = "" if self.network_s is None else f", {duration(self.network_s)} of it for the network"
        seconds = duration((self.network_s or 0) + self.files_s)
        return f"{pluralize(self.passes, 'pass')}, {device}, {host}, roughly {seconds}{network}"


def expect(
    scene: Scene, passes: int, rounds: int, memory: StepMemory, *, speed: float, preparation_s: float
) -> Expectation:
    """The cost of a scene.

    Args:
        scene: whose vertices and voxels at level 0 are counted.
        passes: forward passes, over all tiles and votes.
        rounds: passes one after another; several devices work at once.
        memory: memory of a pass.
        speed: bytes per second, of `trainlib.run.memory.memory_speed`.
        preparation_s: seconds that reading and building took, without any compiling.
    """
    host = BASE_BYTES + len(scene.vertices) * BYTES_PER_VERTEX + len(scene.voxels.coords[0]) * BYTES_PER_VOXEL
    network_s = rounds * memory.traffic / speed if memory.traffic else None
    return Expectation(passes, memory.total, host, network_s, 1 + FILES_BY_PREPARATION * preparation_s)


class CompileFreeTimer(contextlib.AbstractContextManager):
    """The seconds between entering and leaving without those in which any thread's Numba kernels were compiled."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> "CompileFreeTimer":
        self._compiling = numba_event.TimingListener()
        numba_event.register("numba:compile", self._compiling)
        self._began = time.monotonic()
        return self

    def __exit__(self, *exception: object) -> None:
        elapsed = time.monotonic() - self._began
        numba_event.unregister("numba:compile", self._compiling)
        compiled = self._compiling.duration if self._compiling.done else 0.0
        self.seconds = max(0.0, elapsed - compiled)


def host_memory() -> int:
    """Bytes of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def duration(seconds: float) -> str:
    """0.3 s, 12 s, 4 min, 2.5 h."""
    if seconds < 1:
        return f"{max(seconds, 0.1):.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
