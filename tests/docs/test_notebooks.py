"""The notebooks: every cell in order, in a fresh process, in less than a minute of processor time."""

import ast
import json
import os
import pathlib
import resource
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "notebooks"
BUDGET = 60  # seconds of processor time
RUN = """
import json, sys
import matplotlib
matplotlib.use("agg")
space = {}
for number, cell in enumerate(json.loads(sys.stdin.read())):
    exec(compile(cell, f"cell {number}", "exec"), space)
"""


def cells(path: pathlib.Path, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def code_lines(source: str) -> int:
    return sum(bool(line.strip()) for line in source.splitlines())


def run(path: pathlib.Path, folder: pathlib.Path) -> tuple[str, float]:
    """What the cells print, and the seconds of processor time."""
    environment = {**os.environ, "XLA_FLAGS": "", "TMPDIR": str(folder), "PYTHONPATH": str(path.parents[1])}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(cells(path, "code")),
        cwd=path.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_scan_to_labels(tmp_path):
    said, seconds = run(FOLDER / "scan_to_labels.ipynb", tmp_path)
    assert seconds < BUDGET
    (predicted,) = tmp_path.glob("*/predicted")
    assert {path.name for path in predicted.iterdir()} == {"room.ply", "room.labels.ply", "room.html", "room.png"}
    right = int(said.rpartition("% of the vertices right")[0].split()[-1])
    assert right > 40, "floor and walls are more than half of a room"


def test_masks_and_contrastive_learning(tmp_path):
    path = FOLDER / "masks_and_contrastive_learning.ipynb"
    assert sum(map(code_lines, cells(path, "code"))) <= 60
    said, seconds = run(path, tmp_path)
    assert seconds < BUDGET
    frequent, rare = (float(part.split("%")[0]) for part in said.rpartition("forgotten: ")[2].split("4, "))
    assert rare > 1.5 * frequent


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs_and_parse(path):
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            assert cell["execution_count"] is None
            ast.parse("".join(cell["source"]))
