"""Scenes packed by TensorFlow Datasets come back bit for bit, and training reads them, without TensorFlow."""

import dataclasses
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from preprocess.scene.scene_file import SceneError, read_scene, scene_arrays, write_scene
from trainlib.core.errors import UserError
from vmnet_jax.data import tfds_builders
from vmnet_jax.data.scenes import SceneFolder, read_split


@pytest.fixture(scope="module")
def folder(scenes, scene_folder, tmp_path_factory):
    """Two scenes: one below a folder, one without labels."""
    folder = tmp_path_factory.mktemp("two")
    shutil.copy(scene_folder / "label_map.csv", folder)
    (folder / "deep").mkdir()
    write_scene(folder / "deep" / "a.scene.npz", dataclasses.replace(scenes[0], name="deep/a", source_hash="1"))
    bare = dataclasses.replace(scenes[1], name="b", source_hash="2", labels=None, labels_l0=None)
    write_scene(folder / "b.scene.npz", bare)
    return folder


@pytest.fixture(scope="module")
def packed(folder, tmp_path_factory):
    return tfds_builders.prepare_scenes(folder, tmp_path_factory.mktemp("tfds"))


def test_scenes_come_back_bit_for_bit_without_tensorflow(folder, packed, tmp_path):
    read = SceneFolder(packed)
    assert read.names == ["b", "deep/a"]
    for name in read.names:
        write_scene(tmp_path / "again.scene.npz", read(name))
        assert (tmp_path / "again.scene.npz").read_bytes() == (folder / f"{name}.scene.npz").read_bytes()
    assert read("b").labels is None
    assert read.sources(["b", "deep/a"]) == {"b": "2", "deep/a": "1"}
    assert read.label_map == SceneFolder(folder).label_map
    assert "tensorflow" not in sys.modules


def test_every_array_is_a_feature_by_its_name(folder, packed):
    builder = tfds.builder("scene_meshes", data_dir=str(packed.parents[1]))
    assert list(packed.glob("*.array_record*"))
    example = builder.as_data_source("scenes")[1]
    arrays = scene_arrays(read_scene(folder / "deep" / "a.scene.npz"))
    assert example.keys() == arrays.keys()
    for name, array in arrays.items():
        assert example[name].dtype == array.dtype, name
        np.testing.assert_array_equal(example[name], array, err_msg=name)


def test_splits_and_cache_are_those_of_scene_files(folder, packed, tmp_path):
    assert read_split(packed, "", "", 0.5) == read_split(folder, "", "", 0.5)
    (tmp_path / "train.txt").write_text("deep/a\nc\n")
    with pytest.raises(UserError, match="1 of 2 scenes that are not in"):
        read_split(packed, str(tmp_path / "train.txt"), "")
    kept, read_again = SceneFolder(packed), SceneFolder(packed, cache_gib=0)
    assert kept("b") is kept("b")
    assert read_again("b") is not read_again("b")


def test_prepare_keeps_what_is_there_and_refuses_other_scenes(folder, packed, tmp_path):
    command = [sys.executable, "-m", "vmnet_jax.tfds_prepare", f"--data_dir={packed.parents[1]}"]
    before = {path: path.stat().st_mtime_ns for path in packed.iterdir()}
    done = subprocess.run([*command, f"--scenes={folder}"], capture_output=True, text=True, check=True)
    assert done.stdout == f"Prepared: {packed}\n"
    assert {path: path.stat().st_mtime_ns for path in packed.iterdir()} == before
    shutil.copytree(folder, tmp_path / "fewer")
    (tmp_path / "fewer" / "b.scene.npz").unlink()
    with pytest.raises(UserError, match="holds other scenes than"):
        tfds_builders.prepare_scenes(tmp_path / "fewer", packed.parents[1])
    with pytest.raises(UserError, match="no scene files"):
        tfds_builders.prepare_scenes(tmp_path, tmp_path / "out")
    with pytest.raises(UserError, match="has no scene c"):
        SceneFolder(packed)("c")


def test_scenes_made_anew_are_refused_and_damage_is_noticed(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "scenes")
    packed = tfds_builders.prepare_scenes(tmp_path / "scenes", tmp_path / "out")
    path = tmp_path / "scenes" / "b.scene.npz"
    scene = read_scene(path)
    write_scene(path, dataclasses.replace(scene, params={**scene.params, "voxel_size": 0.3}))
    with pytest.raises(UserError, match="holds other scenes than"):
        tfds_builders.prepare_scenes(tmp_path / "scenes", tmp_path / "out")
    (records,) = packed.glob("*.array_record*")
    content = bytearray(records.read_bytes())
    content[1000] ^= 1
    records.write_bytes(content)
    with pytest.raises(SceneError, match=r"the record is damaged .* Delete the folder and run"):
        SceneFolder(packed)("b")


def test_a_scene_too_large_for_a_record_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_builders, "LARGEST", 1000)
    with pytest.raises(UserError, match=r"the scene b has .* GiB; a TensorFlow Datasets record holds less than 2"):
        tfds_builders.prepare_scenes(folder, tmp_path)
    assert not list(tmp_path.rglob("dataset_info.json"))
