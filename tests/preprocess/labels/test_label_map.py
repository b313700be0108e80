"""Label maps by hand-computed cases, and label files as plyfile reads them."""

import re

import numpy as np
import plyfile
import pytest

from preprocess.formats.writer import write_labels_ply
from preprocess.labels.label_map import LabelMap, auto_label_map, read_label_map, scannet20, write_label_map
from preprocess.mesh.mesh import MeshError

HEADER = "id,name,red,green,blue\n"


def test_scannet20_is_the_table_of_the_original(open_fixture):
    ids = scannet20().ids
    assert ids == (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)
    assert len(set(scannet20().names)) == len(set(scannet20().colors)) == 20
    assert dict(zip(ids, scannet20().names))[36] == "bathtub"
    assert dict(zip(ids, scannet20().colors))[5] == (188, 189, 34)


def test_ids_to_classes_and_back():
    raw = np.array([1, 39, 0, 13, 50, 149, 150, -1, 2**31 - 1, 13, 24])
    classes, unknown = scannet20().to_classes(raw)
    np.testing.assert_array_equal(classes, [0, 19, -1, -1, -1, -1, -1, -1, -1, -1, 14])
    assert classes.dtype == np.int32
    assert unknown == {13: 2, 50: 1, 149: 1, 150: 1, 2**31 - 1: 1}
    ids = scannet20().to_ids(classes)
    np.testing.assert_array_equal(ids, [1, 39, 0, 0, 0, 0, 0, 0, 0, 0, 24])
    assert ids.dtype == np.uint16


def test_a_map_survives_its_file(tmp_path):
    label_map = LabelMap((7, 3), ('a "table", long', "b"), ((1, 2, 3), (255, 0, 9)))
    write_label_map(tmp_path / "map.csv", label_map)
    assert read_label_map(tmp_path / "map.csv") == label_map
    assert (tmp_path / "map.csv").read_text().startswith(HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["map.csv"]
    write_label_map(tmp_path / "map.csv", scannet20())
    assert read_label_map(tmp_path / "map.csv") == scannet20()


def test_auto_map_has_the_positive_ids_in_distinct_colors():
    label_map = auto_label_map(np.concatenate([np.arange(260), [-1, 0, 5]]))
    assert label_map.ids == tuple(range(1, 260))
    assert label_map.names[41] == "class 42"
    assert len(set(label_map.colors)) == 259
    steps = np.abs(np.diff(np.array(label_map.colors), axis=0)).sum(axis=1)
    assert steps.min() > 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "begins with ''"),
        ("id;name\n", "begins with 'id;name"),
        (HEADER + "1,wall,0,0\n", "row 2 is '1,wall,0,0'"),
        (HEADER + "1,wall,0,0,0\none,floor,0,0,0\n", "row 3 is 'one,floor,0,0,0'"),
        (HEADER + "1,wall,0,0,256\n", "colours must be between 0 and 255"),
        (HEADER + "1,wall,0,0,0\n1,floor,0,0,0\n", "ids [1] appear more than once"),
        (HEADER + "70000,wall,0,0,0\n", "ids between 0 and 65535"),
        (HEADER, "ids between 0 and 65535, it has []"),
    ],
)
def test_wrong_maps(tmp_path, text, message):
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(MeshError, match=re.escape(message)):
        read_label_map(tmp_path / "map.csv")


def test_a_map_that_is_no_text(tmp_path):
    (tmp_path / "map.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MeshError, match="not a text in UTF-16"):
        read_label_map(tmp_path / "map.csv")


@pytest.mark.parametrize("number", [np.float32, np.float64])
def test_label_files_are_read_by_plyfile(tmp_path, sphere, number):
    vertices, faces = sphere[0].astype(number), sphere[1]
    rng = np.random.default_rng(0)
    ids, colors = rng.integers(0, 65536, len(vertices)), rng.integers(0, 256, (len(vertices), 3)).astype(np.uint8)
    write_labels_ply(tmp_path / "a.ply", vertices, faces, ids, colors)
    file = plyfile.PlyData.read(tmp_path / "a.ply", known_list_len={"face": {"vertex_indices": 3}})
    assert file["vertex"]["label"].dtype == np.uint16
    np.testing.assert_array_equal(file["vertex"]["label"], ids)
    np.testing.assert_array_equal(np.stack([file["vertex"][name] for name in "xyz"], axis=1), vertices)
    np.testing.assert_array_equal(np.stack([file["vertex"][name] for name in ("red", "green", "blue")], axis=1), colors)
    np.testing.assert_array_equal(file["face"]["vertex_indices"], faces)


def test_label_files_refuse_what_does_not_fit(tmp_path, sphere):
    vertices, faces = sphere
    ids = np.zeros(len(vertices), int)
    with pytest.raises(ValueError, match=r"\[7\] labels for 2562 vertices"):
        write_labels_ply(tmp_path / "a.ply", vertices, faces, ids[:7])
    for value in (-1, 65536):
        ids[5] = value
        with pytest.raises(ValueError, match="labels must be between 0 and 65535"):
            write_labels_ply(tmp_path / "a.ply", vertices, faces, ids)
    assert not list(tmp_path.iterdir())
