"""A read-only installation and a user without a writable home, as containers have them."""

import os
import pathlib
import shutil
import stat
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
NOBODY = 65534
PROGRAM = "import preprocess.mesh, numpy; print(preprocess.mesh.vertex_normals(numpy.eye(3), numpy.array([[0, 1, 2]])))"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A copy of the packages that cannot be written, without compiled code in it."""
    folder = pathlib.Path(tmp_path_factory.mktemp("installed"))
    for name in ("kernels", "preprocess", "trainlib"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for parent in list(folder.parents)[:3]:
        parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)


def run(installed, temporary, program=PROGRAM):
    """Uses a compiled function as a user who may not write: nobody for root, else the same user."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "XDG", "MPL"))}
    settings |= {"HOME": "/nonexistent", "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    settings |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=installed, env=settings, capture_output=True, text=True, check=False, **user)


def test_compiled_code_is_kept_in_a_private_folder_and_said_once(installed, tmp_path):
    owner = NOBODY if os.geteuid() == 0 else os.geteuid()
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    temporary.chmod(0o777)
    for parent in list(tmp_path.parents)[:3] + [tmp_path]:
        parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    done = run(installed, temporary)
    assert done.returncode == 0, done.stderr
    kept = temporary / f"vmnet-sdclr-jax-{owner}"
    assert (kept.stat().st_uid, stat.S_IMODE(kept.stat().st_mode)) == (owner, 0o700)
    assert list(kept.rglob("*.nbi"))
    assert done.stderr.count(str(kept)) == 1
    assert "NUMBA_CACHE_DIR" in done.stderr


UNCACHED = """
from trainlib.core import caches
caches.private_folder = lambda: None
import preprocess.mesh, preprocess.solids, numpy
print(preprocess.mesh.vertex_normals(numpy.eye(3), numpy.array([[0, 1, 2]])))
"""


def test_without_any_folder_it_works_without_a_cache_and_says_so_once(installed, tmp_path):
    done = run(installed, tmp_path, UNCACHED)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Compiled code is not kept") == 1
