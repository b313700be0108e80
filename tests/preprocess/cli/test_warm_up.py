"""What is compiled before the first scene is what a scene needs."""

import subprocess
import sys

import pytest

from preprocess.cli import warm_up
from preprocess.scene.params import HierarchyParams

PROCESS = """
import pathlib, sys, tempfile
from preprocess.cli import warm_up
from preprocess.formats.readers import read_mesh
from preprocess.synthetic.room import make_room, write_room
from preprocess.scene.build import build_scene
from preprocess.scene.params import HierarchyParams
from kernels.host import jit

params = HierarchyParams(cells=(0.2, 0.4), voxel_size=0.2)
folder = pathlib.Path(tempfile.mkdtemp())
room = make_room(1, 0.08)
kernels = [kernel for room in jit._imported.values() for kernel in room]
before = {kernel: set(kernel.overloads) for kernel in kernels}
if sys.argv[1] == "small":
    warm_up.is_cold = lambda room: True
    warm_up.compile_kernels(params)
else:
    write_room(folder, "room", room)
    build_scene("room", read_mesh(folder / "room.ply"), params)
for kernel in kernels:
    for arguments in set(kernel.overloads) - before[kernel]:
        print(kernel.py_func.__module__, kernel.py_func.__name__, arguments)
"""


def compiled_for(scene):
    """Kernels, with the types of their arguments, that a process needs for a scene; those that make it do not count."""
    done = subprocess.run([sys.executable, "-c", PROCESS, scene], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines())


def test_a_room_needs_no_kernel_that_the_small_scene_does_not():
    compiled = compiled_for("small")  # first: of what is on disk, the kernels that others contain are not listed
    needed = compiled_for("room")
    assert len(needed) > 20
    assert needed <= compiled


@pytest.mark.parametrize("is_cold", [False, True])
def test_nothing_is_built_if_the_kernels_are_on_disk(monkeypatch, is_cold):
    built = []
    monkeypatch.setattr(warm_up, "is_cold", lambda room: is_cold)
    monkeypatch.setattr(warm_up, "build_scene", lambda name, mesh, params: built.append(len(mesh.faces)))
    warm_up.compile_kernels(HierarchyParams())
    assert built == [2 * (warm_up.SIDE - 1) ** 2] * is_cold
