"""Every program takes the stored arguments, with the stored defaults and help."""

import pytest

from tests.golden import flags
from tests.golden.files import FOLDER

STORED = flags.read((FOLDER / "flags.txt").read_text(encoding="utf-8"))


def test_every_program_is_stored():
    assert list(STORED) == [*flags.PROGRAMS, *flags.TRAINING]


@pytest.mark.parametrize("program", STORED)
def test_a_program_takes_the_stored_arguments(program):
    assert flags.lines(program) == STORED[program]
