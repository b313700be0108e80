"""Row 16: a worker that is killed costs its own scene; the others finish, and a rerun does only that one."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np

from preprocess.formats.writer import write_labels_ply
from tests.faults.meshes import ROOT, built, run_scenes, sheet, write_mesh


def workers(pid: int) -> list[int]:
    """Process ids of the spawned workers, the first one first, without multiprocessing's resource tracker."""
    found = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(c) for c in found if b"spawn_main" in pathlib.Path(f"/proc/{c}/cmdline").read_bytes()]


def test_16_killed_worker(tmp_path, capsys):
    folder = tmp_path / "meshes"
    for name in "bcd":
        write_mesh(folder / f"{name}.ply")
    vertices, faces = sheet(600)  # the first worker is at it for seconds
    write_labels_ply(folder / "a.ply", vertices, faces, np.zeros(len(vertices), int))
    command = [sys.executable, "-m", "preprocess.scenes", f"--input={folder}", f"--output={tmp_path / 'out'}"]
    command += ["--cells=0.12,0.25", "--workers=2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while built(folder) != ["b", "c", "d"]:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.kill(workers(process.pid)[0], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "3 built, 0 up to date, 1 failed" in out
    cause = f"{folder / 'a.ply'}: its worker process was killed by signal 9, perhaps for lack of memory"
    assert cause in out
    assert "Try fewer --workers" in out
    assert "Traceback" not in out + err
    failed = json.loads((tmp_path / "out" / "failed.json").read_text())
    assert [entry["name"] for entry in failed] == ["a"]
    assert cause in failed[0]["cause"]
    write_mesh(folder / "a.ply")
    status, out, _ = run_scenes(capsys, folder)
    assert status == 0
    assert "1 built, 3 up to date, 0 failed" in out
    assert not (tmp_path / "out" / "failed.json").exists()
