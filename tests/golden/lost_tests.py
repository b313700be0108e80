"""Tests that were there once and are not any more: `python -m tests.golden.lost_tests`, from the repository's root.

stored/test_ids.txt lists the tests of one time as `FILE::TEST[PARAMETERS]`. Files may have been renamed and moved
since: tests are compared by what comes after the file, and by how often it occurs. The exit code is 1 if any is lost.
"""

import collections
import re
import subprocess
import sys

from tests.golden.files import FOLDER, ROOT

IDS = FOLDER / "test_ids.txt"


def collected() -> list[str]:
    """The ids of all tests that pytest finds now, the long ones too, without folders."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", ""]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"pytest cannot collect the tests:\n{done.stdout[-2000:]}{done.stderr}")
    return ids(done.stdout)


def ids(report: str) -> list[str]:
    """`FILE::TEST[PARAMETERS]` of each line of a report by `pytest --collect-only -q` that names a test, sorted."""
    return sorted(re.findall(r"^(?:\S*/)?(\w+\.py::.+)$", report, re.MULTILINE))


def lost(before: list[str], now: list[str]) -> list[str]:
    """The ids of `before` whose test occurs less often in `now`; files are not compared."""
    left = collections.Counter(_test(identifier) for identifier in now)
    missing = []
    for identifier in before:
        left[_test(identifier)] -= 1
        if left[_test(identifier)] < 0:
            missing.append(identifier)
    return missing


def _test(identifier: str) -> str:
    return identifier.partition("::")[2]


def main() -> int:
    """Prints the lost tests and how many there were and are."""
    before, now = IDS.read_text(encoding="utf-8").splitlines(), collected()
    missing = lost(before, now)
    print(*missing, sep="\n", end="\n" if missing else "")
    print(f"{len(before)} tests then, {len(now)} now, {len(missing)} lost")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
