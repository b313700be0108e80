"""The expected cost of a prediction, printed before it begins."""

import os
from typing import NamedTuple

from preprocess.scene.scene_file import Scene
from trainlib.core.text import pluralize
from trainlib.run.memory import GIB, StepMemory, device_memory, memory_speed

# Of the whole process, measured on scans of 0.7 and 2.1 million vertices with voxels of 2 and 8 cm; good to a third.
BASE_BYTES, BYTES_PER_VERTEX, BYTES_PER_VOXEL = 0.9 * GIB, 800, 1900
FILES_BY_PREPARATION = 3.5
"""Time for page, picture and PLY files by that for reading the mesh and building its levels, to a factor of two."""

SMALL_TRAFFIC, SLOW_MEMORY = 2 * GIB, 4 * GIB
"""Bytes of all passes below which the memory's speed is not measured, and the bytes a second that are then assumed."""


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


def expect(scene: Scene, passes: int, rounds: int, memory: StepMemory, *, preparation_s: float) -> Expectation:
    """The cost of a scene.

    Args:
        scene: whose vertices and voxels at level 0 are counted.
        passes: forward passes, over all tiles and votes.
        rounds: passes one after another; several devices work at once.
        memory: memory of a pass.
        preparation_s: seconds that reading and building took, without any compiling.
    """
    host = BASE_BYTES + len(scene.vertices) * BYTES_PER_VERTEX + len(scene.voxels.coords[0]) * BYTES_PER_VOXEL
    traffic = rounds * memory.traffic
    speed = SLOW_MEMORY if traffic < SMALL_TRAFFIC else memory_speed()
    network_s = traffic / speed if traffic else None
    return Expectation(passes, memory.total, host, network_s, 1 + FILES_BY_PREPARATION * preparation_s)


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
