"""Damaged PLY files, ASCII and binary: each is refused clearly or read as a valid mesh, in little memory and time."""

import re

import pytest

from tests.faults.meshes import run_process


def damaged_files(tmp_path, first: int, last: int) -> None:
    done = run_process("-W", "error", "-m", "tests.faults.mesh_files.ply_mutations", tmp_path, first, last)
    assert done.returncode == 0, done.stderr[-3000:]
    *findings, counts = done.stdout.splitlines()
    assert findings == []
    refused, read = map(int, re.fullmatch(r"(\d+) refused, (\d+) read", counts).groups())
    assert refused + read == last - first
    assert min(refused, read) > 0.05 * (last - first)  # the damage is neither always nor never fatal


def test_a_thousand_damaged_files(tmp_path):
    damaged_files(tmp_path, 0, 1000)


@pytest.mark.long
@pytest.mark.parametrize("part", range(5))
def test_twenty_thousand_damaged_files(tmp_path, part):
    damaged_files(tmp_path, 1000 + 4000 * part, 5000 + 4000 * part)
