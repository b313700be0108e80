"""docs/api.md names things that exist and have a docstring; so do the doors of the packages."""

import ast
import importlib
import pathlib
import re

import pytest

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "api.md"
DOORS = ("kernels.device", "kernels.host", "preprocess", "sdclr_jax", "vmnet_jax")


def listed():
    """(module, name) for every name of the page's table."""
    for line in PAGE.read_text().splitlines():
        cells = [re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[1:-1]]
        if len(cells) == 2 and cells[0] and all(name.isidentifier() for name in cells[1]):
            yield from ((cells[0][0], name) for name in cells[1])


def test_every_listed_name_is_there_and_documented():
    names = list(listed())
    assert len(names) > 40
    for module, name in names:
        assert getattr(importlib.import_module(module), name).__doc__, f"{module}.{name} has no docstring"


@pytest.mark.parametrize("package", DOORS)
def test_every_name_of_a_door_is_there_and_documented(package):
    door = importlib.import_module(package)
    assert len(dir(door)) > 5
    for name in dir(door):
        assert getattr(door, name).__doc__, f"{package}.{name} has no docstring"


@pytest.mark.parametrize("package", DOORS)
def test_a_door_refuses_other_names(package):
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        importlib.import_module(package).nothing  # noqa: B018


@pytest.mark.parametrize("package", DOORS)
def test_the_table_of_a_door_can_be_read_without_importing_it(package):
    """The reference of the site is made of it."""
    path = PAGE.parents[1] / package.replace(".", "/") / "__init__.py"
    (table,) = (
        node.value
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_PLACES"
    )
    assert {*ast.literal_eval(table)} == {*dir(importlib.import_module(package))}
