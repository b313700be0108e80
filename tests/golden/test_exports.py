"""What leaves the project is what it was: weight files for PyTorch, and the mesh files of a prediction."""

import pytest

from tests.golden import exports, predictions
from tests.golden.files import read_archive, read_json

pytestmark = pytest.mark.optimized  # stored bits

WEIGHTS, MESHES = read_json("exports.json"), read_archive("predictions.zip")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return exports.collect(tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    return predictions.collect(tmp_path_factory.mktemp("predictions"))


@pytest.mark.parametrize("system", WEIGHTS)
def test_an_exported_weight_file_has_the_stored_entries(exported, system):
    """Names in their order, types, shapes and values; at last the bytes of the file, its times apart."""
    assert list(exported[system]) == list(WEIGHTS[system])
    assert exported[system] == WEIGHTS[system]


@pytest.mark.parametrize("name", MESHES)
def test_a_predicted_mesh_file_has_the_stored_bytes(predicted, name):
    assert predicted[name] == MESHES[name]
