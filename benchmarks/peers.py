"""The environment of the programs that the project is compared with: python -m benchmarks.peers

Installs benchmarks/peers.txt from the package index into .bench-venv, about 2.5 GB where the index offers a build of
torch for CPU (`2.13.0+cpu` is taken before `2.13.0`), several more where it offers the one with CUDA only. A package
that has no wheel for this machine is skipped with a message; its rows then quote stored numbers.
"""

import argparse
import pathlib
import subprocess
import sys
import venv

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / ".bench-venv"
PINS = ROOT / "benchmarks" / "peers.txt"
PYTHON = FOLDER / ("Scripts" if sys.platform == "win32" else "bin") / "python"
STAMP = FOLDER / "installed.txt"


def is_ready() -> bool:
    """Whether the environment holds what peers.txt names now."""
    return STAMP.is_file() and STAMP.read_text() == PINS.read_text()


def install() -> list[str]:
    """Makes the environment; returns the requirements that could not be installed."""
    if not PYTHON.exists():
        venv.create(FOLDER, with_pip=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    if subprocess.run([*pip, "--requirement", str(PINS)], check=False).returncode == 0:
        STAMP.write_text(PINS.read_text())
        return []
    base, *others = PINS.read_text().split()
    subprocess.run([*pip, base], check=True)
    failed = [pin for pin in others if subprocess.run([*pip, base, pin], check=False).returncode]
    STAMP.write_text(PINS.read_text())
    return failed


def main() -> None:
    """The command line."""
    argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__).parse_args()
    if is_ready():
        print(f"{FOLDER.name} is up to date")
        return
    for pin in install():
        print(f"not installed: {pin}; rows that need it quote stored numbers", file=sys.stderr)
    print(f"{FOLDER.name} is ready")


if __name__ == "__main__":
    main()
