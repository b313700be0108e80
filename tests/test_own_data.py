"""docs/own_data.md: the page's commands and its Python, as they stand, on a folder of small meshes."""

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import numpy as np
import plyfile
import pytest
import trimesh

from preprocess.formats.writer import write_labels_ply

ROOT = pathlib.Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "own_data.md").read_text()
SIDE = 24


def sheet(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """vertices float64 [576, 3] about 3 cm apart, faces [1058, 3], ids 5 and 8 by height, 0 along a rim."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(SIDE) * 0.03, np.arange(SIDE) * 0.03, indexing="ij")
    z = 0.1 * np.sin(9 * x + rng.uniform(0, 6)) + 0.1 * np.cos(8 * y)
    row = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    a, b, c, d = row[:-1, :-1].ravel(), row[1:, :-1].ravel(), row[1:, 1:].ravel(), row[:-1, 1:].ravel()
    ids = np.where(z > 0, 8, 5)
    ids[0] = 0
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return np.stack([x, y, z], -1).reshape(-1, 3), faces, ids.ravel()


def blocks(language: str = "") -> list[str]:
    """The page's code blocks."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[list[str]]:
    """Words of each command; a backslash continues on the next line."""
    return [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]


@pytest.fixture
def folder(tmp_path):
    """A fresh folder next to the project: meshes with labels, new ones without."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for name in ("meshes/deep", "new"):
        (tmp_path / name).mkdir(parents=True)
    for seed, name in enumerate(("a", "b", "c", "deep/d", "e")):
        vertices, faces, ids = sheet(seed)
        path = tmp_path / "meshes" / f"{name}.ply"
        if name == "e":  # labels in the file itself
            write_labels_ply(path, vertices, faces, ids)
            continue
        trimesh.Trimesh(vertices, faces, process=False).export(path.with_suffix(".obj" if name == "b" else ".ply"))
        write_labels_ply(path.with_suffix(".labels.ply"), vertices, faces, ids)
    vertices, faces, _ = sheet(9)
    for name in ("scan.obj", "scan2.stl"):
        trimesh.Trimesh(vertices, faces, process=False).export(tmp_path / "new" / name)
    return tmp_path


RUN = """
import json, os, runpy, sys
import trainlib.store.checkpoints, vmnet_jax.learn.build, vmnet_jax.learn.restore
for number, words in enumerate(json.load(sys.stdin)):
    child = os.fork()
    if not child:
        os.dup2(os.open(f"{number}.txt", os.O_WRONLY | os.O_CREAT), 1)
        sys.argv = words[2:]
        if words[1] == "-c":
            exec(words[2], {"__name__": "__main__"})
        else:
            sys.modules.pop(words[2], None)
            runpy.run_module(words[2], run_name="__main__", alter_sys=True)
        sys.exit()
    if os.waitpid(child, 0)[1]:
        sys.exit(f"failed: {words}")
"""


def run(folder: pathlib.Path, *commands: list[str]) -> list[str]:
    """What the commands print, in order. Each has its own process, forked from one that has imported the network."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    assert {words[0] for words in commands} == {"python"}
    assert {words[1] for words in commands} <= {"-m", "-c"}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    start = {"cwd": folder, "env": environment, "text": True, "start_new_session": True}
    with subprocess.Popen([sys.executable, "-c", RUN], **pipes, **start) as process:
        try:
            _, error = process.communicate(json.dumps(commands))
        finally:
            if process.returncode is None:  # the test is out of time: the command that it waited for ends too
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, error[-3000:]
    return [(folder / f"{number}.txt").read_text() for number in range(len(commands))]


def with_smoke(words: list[str]) -> list[str]:
    """The config of a command with its word for a short run."""
    return [re.sub(r"^(--config=configs/\w+\.py)(:?)", r"\1:smoke", word) for word in words]


def test_five_commands_and_python(folder):
    five = commands(blocks()[0])
    assert [words[2] for words in five] == [
        "preprocess.check",
        "preprocess.scenes",
        "vmnet_jax.train",
        "vmnet_jax.evaluate",
        "vmnet_jax.predict",
    ]
    (tune,) = commands(blocks()[2])
    assert "--config.heads_only=True" in tune
    python = ["python", "-c", blocks("python")[0]]
    said = run(folder, *map(with_smoke, five), python, [*with_smoke(tune), "--config.num_steps=1"])
    assert "5 files: 0 with an error" in said[0]
    assert "labels 0 (24, unlabelled), 5 (" in said[0]
    assert "5 built, 0 up to date, 0 failed" in said[1]
    assert "class 8" in said[3]
    found = {path.name for path in (folder / "predicted").iterdir()}
    assert found == {"again"} | {
        f"scan{n}{ending}" for n in ("", "2") for ending in (".ply", ".labels.ply", ".html", ".png")
    }
    labels = plyfile.PlyData.read(folder / "predicted" / "scan.labels.ply")["vertex"]
    assert len(labels["label"]) == SIDE**2
    assert set(labels["label"]) <= {5, 8}
    again = plyfile.PlyData.read(folder / "predicted" / "again" / "scan.labels.ply")["vertex"]
    np.testing.assert_array_equal(again["label"], labels["label"])
    assert (folder / "runs/tuned/checkpoints/1").is_dir()


def test_every_command_of_the_page_names_a_module_and_flags_that_are_there():
    flags = (ROOT / "tests" / "golden" / "stored" / "flags.txt").read_text()
    for block in blocks():
        for words in commands(block):
            module = ROOT / (words[2].replace(".", "/") + ".py")
            assert module.is_file()
            if words[2] == "vmnet_jax.train":
                continue
            known = flags.split(f"\n{words[2]}\n")[1].split("\n\n")[0]
            for flag in re.findall(r"--([\w-]+)", " ".join(words)):
                assert f"  --{flag} " in known
