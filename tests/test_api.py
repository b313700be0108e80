"""docs/api.md names things that exist and have a docstring."""

import importlib
import pathlib
import re

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "api.md"


def listed():
    """(module, name) for every name of the page's table."""
    for line in PAGE.read_text().splitlines():
        cells = [re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[1:-1]]
        if len(cells) == 2 and cells[0] and all(name.isidentifier() for name in cells[1]):
            package = cells[0][0].rpartition(".")[0]
            modules = [cells[0][0], *(package + name for name in cells[0][1:])]
            for name in cells[1]:
                yield modules, name


def test_every_listed_name_is_there_and_documented():
    names = list(listed())
    assert len(names) > 40
    for modules, name in names:
        owners = [module for module in map(importlib.import_module, modules) if hasattr(module, name)]
        assert owners, f"none of {modules} has {name}"
        assert getattr(owners[0], name).__doc__, f"{owners[0].__name__}.{name} has no docstring"
