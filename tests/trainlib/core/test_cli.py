"""The garbage collector waits for a program's imports, and only for them."""

import subprocess
import sys

import pytest

PROGRAM = """
import gc
from trainlib.core import cli

def main():
    print(gc.isenabled())
    cli.imported()
    kept = gc.get_freeze_count()
    cycle = [1]
    cycle.append(cycle)
    cli.imported()
    print(gc.isenabled(), kept > 0, gc.get_freeze_count() <= kept)

cli.run(main)
"""


@pytest.mark.parametrize("called_by_run", [True, False])
def test_garbage_is_collected_from_the_imports_on(called_by_run):
    """A second call freezes nothing, and no call does outside of `cli.run`."""
    program = PROGRAM if called_by_run else PROGRAM.replace("cli.run(main)", "main()")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    begins, collects, froze, freezes_no_more = (word == "True" for word in done.stdout.split())
    assert begins is not called_by_run
    assert froze is called_by_run
    assert collects
    assert freezes_no_more
