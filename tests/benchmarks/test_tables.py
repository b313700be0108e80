"""The rows as they stand, the inputs that are made, and the pages."""

import ast
import json
import pathlib

import numpy as np
import pytest

from benchmarks import data, growth, results
from benchmarks.harness import growth_point
from benchmarks.harness.rows import TimeRow
from benchmarks.rows.__main__ import ROWS
from kernels.host.voxel.voxels import unique_voxels
from preprocess.rooms import make_room
from tests.pixels import count_by_panel

ROOT = pathlib.Path(__file__).parents[2]
RECORD = {
    "row": "work",
    "peer": "somebody",
    "kind": "time",
    "unit": "s",
    "ours": 0.01234,
    "theirs": 1.5,
    "ratio": 121.6,
    "quoted": True,
    "probe_gflops": 90.0,
    "ours_scaled": 0.00617,
    "required": 150,
    "aim": None,
    "met": False,
    "versions": {"jax": "0"},
    "data": "made",
    "machine": {
        "date": "2030-01-01T00:00",
        "processor": "a processor",
        "cpus": 8,
        "memory_gib": 4.0,
        "system": "Linux",
        "python": "3.11.0",
        "load_average": [0.1, 0.1, 0.1],
    },
}


def functions(module: str) -> set[str]:
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", [row for row in ROWS if isinstance(row, TimeRow)], ids=lambda row: row.name)
def test_both_sides_of_a_row_exist_and_get_the_same_options(row):
    for side in (row.ours, row.theirs):
        if side is not None:
            assert side.case in functions(side.module)
    assert row.theirs is not None or row.quoted is not None
    assert row.theirs is None or row.theirs.peer == row.theirs.module.startswith("benchmarks.peer.")
    assert row.theirs is None or row.theirs.module != row.ours.module, "each side needs a process of its own"


def test_peers_import_nothing_of_the_project_but_the_worker():
    for path in (ROOT / "benchmarks" / "peer").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                root = node.module.split(".")[0]
                assert root not in ("kernels", "preprocess", "vmnet_jax", "sdclr_jax", "trainlib", "jax", "numba"), path
                assert root != "benchmarks" or node.module.startswith(
                    ("benchmarks.harness.worker", "benchmarks.peer")
                ), path


def test_peers_are_pinned():
    assert all("==" in pin for pin in (ROOT / "benchmarks" / "peers.txt").read_text().split())


def test_a_line_and_the_page_show_the_bar():
    assert "x121.60" in results.show(RECORD)
    assert "MISSED" in results.show(RECORD)
    page = results.render([RECORD])
    assert "| work | 12.3 ms | 1500 ms | somebody, quoted | 121.60 | 150 |  | **no** |" in page
    assert "90 GF/s" in page


def test_the_page_of_results_is_that_of_its_lines():
    lines = results.LINES.read_text().splitlines()
    assert results.PAGE.read_text() == results.render([json.loads(line) for line in lines])


def test_the_smooth_scan_is_closed_and_of_the_stated_size():
    vertices, faces = data.smooth_scan(72, 50)
    sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    counts = np.unique(sides, axis=0, return_counts=True)[1]
    assert (counts == 2).all()
    assert len(np.unique(faces)) == len(vertices) == 3600
    vertices, faces = data.smooth_scan()
    lengths = np.linalg.norm(vertices[faces[:, 0]] - vertices[faces[:, 1]], axis=1)
    assert 0.013 < lengths.mean() < 0.017


def test_joined_rooms_do_not_touch_and_a_piece_has_the_voxels_asked_for():
    rooms = [make_room(seed, 0.08) for seed in (0, 1, 2)]
    joined = data.join_rooms(rooms)
    assert len(joined.vertices) == sum(len(room.vertices) for room in rooms)
    starts = np.cumsum([0] + [len(room.vertices) for room in rooms])
    boxes = [(part.min(0), part.max(0)) for part in np.split(joined.vertices, starts[1:-1])]
    for i, (low, high) in enumerate(boxes):
        for other_low, other_high in boxes[i + 1 :]:
            assert ((low > other_high) | (high < other_low)).any()
    part = growth_point.piece(joined, 700)
    assert part.faces.max() < len(part.vertices) == len(part.colors) == len(part.labels)
    voxels = len(unique_voxels((part.vertices - part.vertices.min(0)) / data.FINEST).coords)
    assert abs(voxels - 700) < 40


def test_growth_writes_its_table_between_the_marks(tmp_path):
    record = {"wanted_voxels": 25_000, "scenes": 1, "voxels": 25_100, "vertices": 30_000, "machine": RECORD["machine"]}
    record |= {"preprocessing_s": 0.1, "tables_s": 0.2, "step_s": 0.5, "xla_mib": 300.0, "peak_mib": 900.0}
    page = tmp_path / "page.md"
    page.write_text(f"before\n{growth.BEGIN}\nold\n{growth.END}\nafter\n")
    growth.write_table([record], page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "| 1 | 25,100 | 30,000 | 0.10 | 0.20 | 0.50 | 19.9 | 300 | 900 |" in text
    assert "old" not in text
    growth.draw([record, record | {"voxels": 50_000, "scenes": 2}], tmp_path / "growth.png")
    one_scene, several = (count_by_panel(tmp_path / "growth.png", color, 1, 2)[0] for color in ("#1f77b4", "#ff7f0e"))
    assert one_scene[0] > 50, "in the legend; the point itself is below the others' line"
    assert (several > 200).all(), "two points and their line, of time and of memory"
