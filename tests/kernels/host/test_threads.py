"""Host kernels are serial inside: several threads may run them at once, with any threading layer or none."""

import importlib
import os
import pkgutil
import subprocess
import sys

from numba.core.registry import CPUDispatcher

import kernels.host

IN_THREADS = """
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from kernels.host.batch.padding import join_corners, join_rings
from kernels.host.mesh.rings import one_ring, ring_table
from kernels.host.voxel.trilinear import trilinear_table
from kernels.host.voxel.voxels import build_pyramid, unique_voxels


def tables(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 9, (3000, 3))
    pyramid = build_pyramid(unique_voxels(points).coords)
    corners, weights = trilinear_table(points, pyramid.coords[1], 1)
    rings = ring_table(one_ring(rng.integers(0, 3000, (6000, 3)), 3000), 8)
    joined = join_corners([corners], [weights], [len(pyramid.coords[1])], 3001, 3001)
    flat = [*sum(pyramid, ()), *joined, *join_rings([rings], 3001, 40000)]
    return b"".join(array.tobytes() for array in flat)


one_after_the_other = [tables(seed) for seed in range(4)]
for _ in range(5):
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(tables, range(4))) == one_after_the_other
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(tables, [0] * 4)) == {one_after_the_other[0]}
try:
    print("layer", numba.threading_layer())
except ValueError:
    print("no layer")
"""


def test_four_threads_give_the_same_bytes_and_need_no_threading_layer():
    root = os.path.dirname(os.path.dirname(kernels.__file__))
    environment = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue", "PYTHONPATH": root}
    command = [sys.executable, "-W", "error", "-c", IN_THREADS]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr, done.returncode) == ("no layer\n", "", 0)


def test_every_kernel_is_serial_and_leaves_the_interpreter_free():
    kernels_seen = {}
    for module in pkgutil.walk_packages(kernels.host.__path__, "kernels.host."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, CPUDispatcher):
                kernels_seen[f"{module.name}.{name}"] = value.targetoptions
    assert "kernels.host.voxel.hash_map._find" in kernels_seen
    assert [name for name, options in kernels_seen.items() if options.get("parallel")] == []
    assert [name for name, options in kernels_seen.items() if options.get("fastmath")] == []
    assert [name for name, options in kernels_seen.items() if not options.get("nogil")] == []
