"""The Makefile's choice of a Python, as `make -n` prints it, on scripts that answer as Pythons do."""

import pathlib
import shutil
import subprocess

import pytest

MAKEFILE = pathlib.Path(__file__).parents[1] / "Makefile"
REBUILT = "-m venv --clear .venv"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def plan(tmp_path):
    """plan(words, **environment) -> the commands of `make lint words` where .venv was built by Python 3.11.7."""
    shutil.copy(MAKEFILE, tmp_path)
    for name, version in ((".venv/bin/python", "3.11.7"), ("python3.11", "3.11.7"), ("python3.13", "3.13.0")):
        script = tmp_path / name
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(f"#!/bin/sh\necho '{version} (main, Jan 1 2026) [GCC 12]'\n")
        script.chmod(0o755)
    for name in ("requirements.lock", "pyproject.toml", ".venv/.installed"):
        (tmp_path / name).touch()

    def make(*words: str, **environment: str) -> str:
        command, environment = ["make", "-n", "lint", *words], {"PATH": "/usr/bin:/bin", **environment}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    return make


def test_without_python_an_environment_is_kept(plan):
    assert plan().splitlines() == [".venv/bin/ruff check .", ".venv/bin/ruff format --check ."]


def test_the_same_python_keeps_the_environment(plan):
    assert REBUILT not in plan("PYTHON=./python3.11")


def test_another_python_builds_the_environment_again(plan):
    assert f"./python3.13 {REBUILT}" in plan("PYTHON=./python3.13")
    assert f"./python3.13 {REBUILT}" in plan(PYTHON="./python3.13")
