"""Every config file gives the stored values, for every set of its words."""

import pytest

from tests.golden import configs
from tests.golden.files import read_json

STORED = read_json("configs.json")


def test_every_config_file_is_stored():
    assert sorted(configs.WORDS) == sorted(path.stem for path in configs.FOLDER.glob("*.py"))
    assert {key.partition(":")[0] for key in STORED} == configs.WORDS.keys()


@pytest.mark.parametrize("key", STORED)
def test_a_config_has_the_stored_values(key):
    name, _, words = key.partition(":")
    expected, found = STORED[name] | STORED[key], configs.values(name, words)
    differing = [
        f"{setting}: {expected.get(setting, '(absent)')} -> {found.get(setting, '(absent)')}"
        for setting in sorted(expected.keys() | found.keys())
        if expected.get(setting) != found.get(setting)
    ]
    assert not differing, f"configs/{key}: stored -> now\n" + "\n".join(differing)
