"""Every setting of both systems is explained in the file of its defaults."""

import re

import pytest

from tests.golden import configs

ROOT = configs.FOLDER.parent
SYSTEMS = ("sdclr", "vmnet")


def source(system):
    return (ROOT / f"{system}_jax" / "default_config.py").read_text(encoding="utf-8")


def uncommented(text):
    """The keys that a line `config.KEY = VALUE` sets without a comment behind it."""
    return re.findall(r"^ +config\.(\w+) = [^#\n]*$", text, re.MULTILINE)


def explained(text):
    """The keys that are set (`config.KEY =`, `"KEY": VALUE,  # ...`) or listed in a comment (`# KEY, KEY: ...`)."""
    listed = re.findall(r"^ +# (\w+(?:, \w+)*): ", text, re.MULTILINE)
    pattern = r"^ +(?:config\.(\w+) = |\"(\w+)\": .*#)"
    return {"".join(key) for key in re.findall(pattern, text, re.MULTILINE)} | set(", ".join(listed).split(", "))


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_default_has_a_comment(system):
    assert uncommented(source(system)) == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_key_of_a_config_file_is_explained_with_the_defaults(system):
    used = {key for name in configs.WORDS if name.startswith(system) for key in configs.load(name)}
    assert sorted(used - explained(source(system))) == []


def test_a_missing_comment_and_a_missing_key_are_found():
    text = '    # lists, split: of images\n    "canvas": 64,\n    config.seed = 0  # of all\n    config.steps = 9\n'
    assert uncommented(text) == ["steps"]
    assert explained(text) == {"lists", "split", "seed", "steps"}
