"""Coordinates of a country's grid in numbers of 32 bits: the warning and its step."""

import pathlib

import numpy as np
import plyfile
import pytest
import trimesh

from preprocess.formats.readers import read_mesh
from preprocess.mesh.diagnostics import precision_notes

CASES = pathlib.Path(__file__).parents[2] / "data" / "cases"
UTM = np.array([500_000.0, 5_400_000.0, 100.0])


def warned(mesh) -> list[str]:
    return [note for note in mesh.notes if "apart" in note]


def test_the_grid_in_32_bits():
    for units in ("none", "m", "mm"):
        (note,) = warned(read_mesh(CASES / "ply_utm_float32.ply", units=units))
        assert note.startswith("warning: coordinates reach 5400001, where numbers of 32 bits are 0.5 apart")


@pytest.mark.parametrize("ending", ["stl", "obj", "off", "glb"])
def test_every_format(tmp_path, sphere, ending):
    vertices, faces = sphere
    rounded = (vertices + UTM).astype(np.float32)
    trimesh.Trimesh(rounded, faces, process=False).export(tmp_path / f"a.{ending}")
    (note,) = warned(read_mesh(tmp_path / f"a.{ending}", units="none"))
    assert "numbers of 32 bits are 0.5 apart" in note


@pytest.mark.parametrize(("number", "warns"), [("<f4", True), ("<f8", False)])
def test_whole_metres_are_in_doubt_only_where_the_file_declares_32_bits(tmp_path, number, warns):
    rows = np.empty(4, [(axis, number) for axis in "xyz"])
    rows["x"], rows["y"], rows["z"] = [500000, 500001, 500000, 500001], [5400000, 5400000, 5400001, 5400001], 0
    faces = np.empty(2, [("vertex_indices", "i4", (3,))])
    faces["vertex_indices"] = [[0, 1, 2], [1, 3, 2]]
    elements = [plyfile.PlyElement.describe(rows, "vertex"), plyfile.PlyElement.describe(faces, "face")]
    plyfile.PlyData(elements).write(tmp_path / "a.ply")
    assert len(warned(read_mesh(tmp_path / "a.ply"))) == warns


def write_obj(path, vertices, faces, form):
    lines = [f"v {x:{form}} {y:{form}} {z:{form}}" for x, y, z in vertices]
    path.write_text("\n".join([*lines, *(f"f {a} {b} {c}" for a, b, c in faces + 1)]))
    return read_mesh(path, units="none")


def test_text_with_six_digits(tmp_path, sphere):
    vertices, faces = sphere
    (note,) = warned(write_obj(tmp_path / "a.obj", vertices * 20 + UTM, faces, "g"))
    assert "the numbers of six digits in the file are 10 apart" in note
    assert not warned(write_obj(tmp_path / "a.obj", vertices + UTM, faces, ".3f"))
    assert not warned(write_obj(tmp_path / "a.obj", vertices, faces, "g"))


def test_what_gets_no_warning(sphere):
    vertices, faces = sphere
    for shift in (0, 1, 30):
        assert not precision_notes((vertices + shift).astype(np.float32).astype(float), faces, "m")
    assert not precision_notes(vertices + UTM, faces, "m")
    assert not precision_notes(np.zeros((3, 3)), np.array([[0, 1, 2]]), "m")


def test_a_millimetre_in_metres_and_a_part_of_the_edge_without_a_unit(sphere):
    vertices, faces = sphere
    far = (vertices * 100 + 20_000).astype(np.float32).astype(float)
    assert "0.00195 apart" in precision_notes(far, faces, "m")[0]
    assert not precision_notes(far, faces, "none")
    assert not precision_notes(far, faces, "mm")
