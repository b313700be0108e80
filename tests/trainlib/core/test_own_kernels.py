"""A foreign package named `kernels` that Python finds first is named in the error."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]


@pytest.mark.parametrize("package", ["sdclr_jax", "vmnet_jax"])
def test_a_foreign_kernels_package_is_named(package, tmp_path):
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; import {package}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert f"ImportError: {package} needs its own package 'kernels'" in result.stderr
    assert str(tmp_path / "kernels") in result.stderr
