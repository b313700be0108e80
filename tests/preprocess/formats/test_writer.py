"""Files as tables of elements: what is written is what other programs read."""

import pathlib
import shutil

import numpy as np
import plyfile
import pytest

from preprocess.formats.readers import read_mesh
from preprocess.formats.writer import Column, file_elements, only_places, with_vertex_properties, write_elements

CASES = pathlib.Path(__file__).parents[2] / "data" / "cases"


def written(source, folder):
    """The file as a prediction of it: with a new property, and its places alone."""
    elements = file_elements(source)
    labels = np.arange(elements["vertex"][0].rows, dtype=np.int32)
    whole, places = folder / "whole.ply", folder / "places.ply"
    write_elements(whole, with_vertex_properties(elements, {"label": labels}))
    write_elements(places, with_vertex_properties(only_places(elements), {"label": labels}))
    return whole, places


PLYS = [
    "tristrips",
    "element_faces",
    "list_named_indices",
    "double_list_int64",
    "bom",
    "uv_texture",
    "face_colors_only",
]
OTHERS = ["off_face_colors.off", "off_CNOFF.off", "obj_tex_case.obj", "obj_partial_colors.obj", "stl_ascii_upper.stl"]


@pytest.mark.parametrize("name", [*(f"ply_{name}.ply" for name in PLYS), *OTHERS])
def test_faces_and_places_are_those_that_were_read(tmp_path, name):
    mesh = read_mesh(CASES / name, units="none")
    for path in written(CASES / name, tmp_path):
        table, again = plyfile.PlyData.read(path), read_mesh(path, units="none")
        np.testing.assert_array_equal(np.stack(list(table["face"]["vertex_indices"])), mesh.faces)
        np.testing.assert_allclose(again.vertices, mesh.vertices, atol=1e-8)  # a text may declare 32 bits
        np.testing.assert_array_equal(again.faces, mesh.faces)
        np.testing.assert_array_equal(again.labels, np.arange(len(mesh.vertices)))
    if not name.endswith(".ply"):
        np.testing.assert_array_equal(read_mesh(tmp_path / "whole.ply", units="none").colors, mesh.colors)


def test_other_properties_of_faces_are_kept(tmp_path):
    path = tmp_path / "a.ply"
    head = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    head += "property int64 id\nproperty uint64 hash\nelement triangle 1\n"
    head += "property int a\nproperty int b\nproperty int c\nproperty uchar material\nend_header\n"
    path.write_text(head + "0 0 0 7 1\n1 0 0 8 5000000000\n0 1 0 9 3\n0 1 2 5\n")
    whole, _ = written(path, tmp_path)
    table = plyfile.PlyData.read(whole)
    assert [element.name for element in table.elements] == ["vertex", "face"]
    assert table["face"]["material"].tolist() == [5]
    assert table["vertex"]["id"].dtype == np.int32
    assert table["vertex"]["id"].tolist() == [7, 8, 9]
    assert table["vertex"]["hash"].tolist() == [1, 5_000_000_000, 3]


def test_strips_beside_faces(tmp_path):
    path = tmp_path / "a.ply"
    text = (CASES / "ply_tristrips.ply").read_text()
    text = text.replace(
        "element tristrips", "element face 0\nproperty list uchar int vertex_indices\nelement tristrips"
    )
    path.write_text(text)
    whole, _ = written(path, tmp_path)
    table = plyfile.PlyData.read(whole)
    assert [element.name for element in table.elements] == ["vertex", "face"]
    assert len(table["face"].data) == 32


def test_a_utf16_file(tmp_path):
    path = tmp_path / "a.ply"
    path.write_bytes((CASES / "ply_element_faces.ply").read_text().encode("utf-16"))
    whole, _ = written(path, tmp_path)
    assert len(plyfile.PlyData.read(whole)["face"].data) == 32


def test_a_texture_beside_the_mesh_is_read_from_its_folder(tmp_path):
    shutil.copy(CASES / "ply_uv_texture.ply", tmp_path / "a.ply")
    assert read_mesh(tmp_path / "a.ply", units="none").colors is None
    shutil.copy(CASES / "tex.png", tmp_path / "tex.png")
    assert read_mesh(tmp_path / "a.ply", units="none").colors is not None


def test_columns_of_a_larger_array_next_to_uneven_lists(tmp_path):
    points, items = np.arange(9, dtype=np.float32).reshape(3, 3), np.arange(6, dtype=np.int32)[::-1]
    columns = [Column(name, "f4", points[:, k]) for k, name in enumerate("xyz")]
    columns.append(Column("near", "i4", items, np.array([1, 2, 3]), "u1"))
    write_elements(tmp_path / "a.ply", {"vertex": columns})
    rows = plyfile.PlyData.read(tmp_path / "a.ply")["vertex"]
    np.testing.assert_array_equal(np.stack([rows[name] for name in "xyz"], axis=1), points)
    assert [row.tolist() for row in rows["near"]] == [[5], [4, 3], [2, 1, 0]]
