"""Preprocessing makes the stored scene files of exactly defined meshes."""

import io
import json

import numpy as np
import pytest

from tests.golden import scenes
from tests.golden.files import machine, read_archive, read_json


def read(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content)) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """{file name: content} of what preprocessing makes now."""
    folder = scenes.build(tmp_path_factory.mktemp("golden"))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def stored():
    """{file name: content} of scenes.zip."""
    return read_archive("scenes.zip")


def test_the_same_files_are_made(built, stored):
    assert sorted(built) == sorted(stored)
    for name in (name for name in stored if not name.endswith(".npz")):
        assert built[name] == stored[name], name


@pytest.mark.parametrize("name", [f"sheet_{seed}.scene.npz" for seed in range(scenes.TRAIN + scenes.VAL)])
def test_every_array_of_a_scene_file_is_the_stored_one(built, stored, name):
    """Whole numbers everywhere. Floats to the bit on the machine of the golden files, else rounded as float32."""
    now, before = read(built[name]), read(stored[name])
    assert list(now) == list(before)
    assert json.loads(now.pop("header").tobytes()) == json.loads(before.pop("header").tobytes())
    same_machine = machine() == read_json("resumed.json")["machine"]
    for key, array in before.items():
        assert (now[key].dtype, now[key].shape) == (array.dtype, array.shape), key
        if same_machine or array.dtype.kind not in "f":
            np.testing.assert_array_equal(now[key], array, err_msg=key)
        else:
            np.testing.assert_allclose(now[key], array, rtol=1e-6, atol=1e-6, err_msg=key)
