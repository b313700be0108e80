"""The examples of docs/kernels.md."""

import doctest
import pathlib

DOCS = pathlib.Path(__file__).parents[3] / "docs" / "kernels.md"


def test_examples_run_as_they_stand():
    result = doctest.testfile(str(DOCS), module_relative=False)
    assert result.attempted > 30
    assert result.failed == 0
