"""A read-only installation and a user without a writable home, as containers have them."""

import os
import pathlib
import shutil
import stat
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
OBEYING = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
"""Runs a command as root to whom the permissions of files apply as to everybody else."""

USE = """
import numpy, preprocess.mesh.normals, preprocess.synthetic.solids
print(preprocess.mesh.normals.vertex_normals(numpy.eye(3), numpy.array([[0, 1, 2]])))
"""
WITHOUT_FOLDER = "from trainlib.core import caches\ncaches.private_folder = lambda: None\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A copy of the packages without compiled code, in a folder where nothing can be written."""
    folder = pathlib.Path(tmp_path_factory.mktemp("installed"))
    for name in ("kernels", "preprocess", "trainlib"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    everything = [folder, *folder.rglob("*")]
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield folder
    for path in everything:
        path.chmod(0o755)


def run(installed, temporary, program=USE):
    """Uses a compiled function as a user whose home is the read-only installation."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "XDG", "MPL"))}
    settings |= {"HOME": str(installed), "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    settings |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    is_root = os.geteuid() == 0
    if is_root and shutil.which("setpriv") is None:
        pytest.skip("needs setpriv of util-linux, since root may write everywhere")
    command = [*(OBEYING if is_root else ()), sys.executable, "-c", program]
    return subprocess.run(command, cwd=installed, env=settings, capture_output=True, text=True, check=False)


def test_compiled_code_is_kept_in_a_private_folder_and_said_once(installed, tmp_path):
    done = run(installed, tmp_path)
    assert done.returncode == 0, done.stderr
    kept = tmp_path / f"vmnet-sdclr-jax-{os.geteuid()}"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert list(kept.rglob("*.nbi"))
    assert done.stderr.count(str(kept)) == 1
    assert "NUMBA_CACHE_DIR" in done.stderr


def test_without_any_folder_it_works_without_a_cache_and_says_so_once(installed, tmp_path):
    done = run(installed, tmp_path, WITHOUT_FOLDER + USE)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())
    assert done.stderr.count("Compiled code is not kept") == 1
