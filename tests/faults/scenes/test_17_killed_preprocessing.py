"""Row 17: preprocessing killed in the middle of a scene leaves no half file; a rerun skips only what is valid."""

import os
import signal
import subprocess
import sys

from preprocess.scene.scene_file import read_scene
from tests.faults.meshes import ROOT, built, run_scenes, write_mesh

# Stops before the rename of scene b, when its content has been written, and says so.
STOPS = """
import os, pathlib, sys, time
from preprocess import scenes
from trainlib.core import files
replace = os.replace
def pausing(source, target):
    if pathlib.Path(target).name == "b.scene.npz":
        print("writing", flush=True)
        time.sleep(60)
    replace(source, target)
files.os.replace = pausing
sys.exit(scenes.main(sys.argv[1:]))
"""


def test_17_killed_preprocessing(tmp_path, capsys):
    folder = tmp_path / "meshes"
    for name in "abc":
        write_mesh(folder / f"{name}.ply")
    flags = [f"--input={folder}", f"--output={tmp_path / 'out'}", "--cells=0.12,0.25", "--workers=0"]
    process = subprocess.Popen([sys.executable, "-c", STOPS, *flags], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert built(folder) == ["a"]
    partial = [path.name for path in (tmp_path / "out").iterdir() if "partial" in path.name]
    assert partial == [f".b.scene.npz.{process.pid}.partial"]
    status, out, _ = run_scenes(capsys, folder)  # asserts that no partial file remains
    assert status == 0
    assert "2 built, 1 up to date" in out
    for name in built(folder):
        read_scene(tmp_path / "out" / f"{name}.scene.npz")


def test_17_a_rerun_skips_the_valid_ones_not_the_existing_ones(tmp_path, capsys):
    folder, output = tmp_path / "meshes", tmp_path / "out"
    for name in ("cut", "empty", "flipped", "mesh", "labels", "valid"):
        write_mesh(folder / f"{name}.ply")
    run_scenes(capsys, folder)
    stamps = {name: (output / f"{name}.scene.npz").stat().st_mtime_ns for name in built(folder)}
    content = bytearray((output / "flipped.scene.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (output / "flipped.scene.npz").write_bytes(content)
    os.truncate(output / "cut.scene.npz", 1000)
    os.truncate(output / "empty.scene.npz", 0)
    for file in ("mesh.ply", "labels.labels.ply"):
        content = bytearray((folder / file).read_bytes())
        content[450] ^= 1
        (folder / file).write_bytes(content)
    status, out, _ = run_scenes(capsys, folder)
    assert status == 0
    assert "5 built, 1 up to date" in out
    assert (output / "valid.scene.npz").stat().st_mtime_ns == stamps["valid"]
    for name in built(folder):
        read_scene(output / f"{name}.scene.npz")
