"""The examples of the kernels' pages, as they stand."""

import doctest
import pathlib

import pytest

DOCS = pathlib.Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("page", "least"), [("kernels.md", 30), ("host_kernels.md", 30)])
def test_examples_run_as_they_stand(page, least):
    result = doctest.testfile(str(DOCS / page), module_relative=False)
    assert result.attempted > least
    assert result.failed == 0


def test_every_stable_kernel_has_an_example():
    table = (DOCS / "api.md").read_text().splitlines()
    names = {name for line in table if line.startswith("| `kernels.") for name in line.split("|")[2].split("`")[1::2]}
    text = (DOCS / "kernels.md").read_text() + (DOCS / "host_kernels.md").read_text()
    examples = "\n".join(line for line in text.splitlines() if line.startswith((">>>", "...")))
    joins = {name for name in names if name.startswith("join_")}  # one of them stands for all
    assert len(names) > 20
    assert not {name for name in names - joins if f"{name}(" not in examples}
