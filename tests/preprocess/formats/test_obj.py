"""Wavefront OBJ and its material libraries as many programs write them."""

import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from preprocess.formats.readers import read_mesh
from preprocess.mesh.mesh import MeshError

CASES = pathlib.Path(__file__).parents[2] / "data" / "cases"
RED = np.rint(255 * np.array([0.8, 0.1, 0.1]))
QUAD = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


@pytest.fixture
def read(tmp_path):
    """read(text, **files) -> the mesh of an OBJ with that text, the files written beside it."""

    def read_text(text, files=None):
        for name, content in (files or {}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, np.ndarray):
                Image.fromarray(content).save(path)
            else:
                path.write_text(content, encoding="utf-8")
        path = tmp_path / "a.obj"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_mesh(path, units="none")

    return read_text


def grid(name):
    return read_mesh(CASES / name, units="none")


def ramp() -> np.ndarray:
    """Colours of the grid of 25 vertices in the files of tests/data/cases."""
    return np.stack([np.arange(25) * 10, 255 - np.arange(25) * 10, np.full(25, 40)], axis=1)


@pytest.mark.parametrize("name", ["bom", "tabs_half", "tabs_all", "inline_comment", "inline_comment_face", "rgba"])
def test_the_coloured_grid_however_it_is_written(name):
    mesh = grid(f"obj_{name}.obj")
    assert mesh.faces.shape == (32, 3)
    assert mesh.vertices[0].tolist() == [0, 0, 0]
    assert mesh.vertices[24, :2].tolist() == [1, 1]
    np.testing.assert_allclose(mesh.colors, ramp(), atol=1)


def test_a_mark_before_the_first_vertex_and_an_isolated_last_one():
    mesh = grid("obj_bom_isolated_last.obj")
    assert len(mesh.vertices) == 26
    assert mesh.faces.max() == 24
    assert mesh.vertices[0].tolist() == [0, 0, 0]


def test_tabs_after_every_keyword(read):
    mesh = read("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nf 1 2 3\nf\t2 4 3\n")
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [1, 3, 2]])
    mesh = read("V\t0 0 0\nV\t1 0 0\nV 0 1 0\nF\t-3\t-2\t-1\n")
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2]])


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_continued_lines(read, newline):
    text = "# a folder C:\\scans\\\nv 0 0 \\\n 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nf 1 \\ \n2 \\\n 3\nf 2 4 3\n"
    mesh = read(text.replace("\n", newline))
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [1, 3, 2]])
    assert len(mesh.vertices) == 4


def test_fo_is_a_face(read):
    np.testing.assert_array_equal(read("v 0 0 0\nv 1 0 0\nv 0 1 0\nfo 1//1 2//1 3//1\n").faces, [[0, 1, 2]])


@pytest.mark.parametrize("word", ["1/x", "1/2/3/4", "1.5", "+", "1" * 30])
def test_a_corner_that_is_no_index(read, word):
    with pytest.raises(MeshError, match=re.escape(f"line 6: {word!r} is not a number")):
        read(f"v 0 0 0\n\nv 1 0 0\nv 0 1 0\nf 1 2 3\nf 1 2 {word}\n")


def test_corners_with_empty_parts(read):
    np.testing.assert_array_equal(read("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1// 2/ 3//7\n").faces, [[0, 1, 2]])
    with pytest.raises(MeshError, match="face 1 names vertex 0"):
        read("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 /3\n")


def test_rows_that_do_not_fit_name_the_line(read):
    with pytest.raises(MeshError, match="line 3: a `v` line has 2 numbers, not 3, 4, 6, 7 or 8"):
        read("# a\nv 0 0 0\nv 1 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(MeshError, match="line 2: a `v` line has 0 numbers"):
        read("v 0 0 0\nv# 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(MeshError, match="line 2: a `v` line has 9 numbers"):
        read("v 0 0 0\nv 1 0 0 1 2 3 4 5 6\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(MeshError, match=re.escape("line 2: '0,5' is not a number (a decimal comma)")):
        read("v 0 0 0\nv 0,5 0 0\nv 0 1 0\nf 1 2 3\n")


def test_msvc_words_are_not_finite():
    with pytest.raises(MeshError, match=r"1 of 25 vertices are not finite .* the first is 1"):
        grid("obj_msvc_nan.obj")
    mesh = read_mesh(CASES / "obj_msvc_nan.obj", units="none", repair=True)
    assert len(mesh.vertices) == 25
    assert 0 < len(mesh.faces) < 32


def rows(*colors) -> str:
    return "".join(f"v {k % 2} {k // 2} 0 {color}\n" for k, color in enumerate(colors)) + "f 1 2 3\n"


@pytest.mark.parametrize(
    ("colors", "expected", "note"),
    [
        (("1 0 0 1", "0 1 0 1", "0 0 1 1"), 255 * np.eye(3), "x y z r g b a"),
        (("1 0 0 0.5", "0 1 0 0.5", "0 0 1 0.5"), 255 * np.eye(3), "x y z r g b a"),
        (("255 0 0 255", "0 255 0 255", "0 0 255 255"), 255 * np.eye(3), "x y z r g b a"),
        (("1 1 0 0", "1 0 1 0", "1 0 0 1"), 255 * np.eye(3), "x y z w r g b"),
        (("1 1 0 0 1", "1 0 1 0 1", "1 0 0 1 1"), 255 * np.eye(3), ""),
        (("1", "1", "1"), None, ""),
    ],
)
def test_numbers_after_the_place(read, colors, expected, note):
    mesh = read(rows(*colors))
    if expected is None:
        assert mesh.colors is None
    else:
        np.testing.assert_array_equal(mesh.colors, expected)
    assert any(note in text for text in mesh.notes)
    assert not any("fourth number" in text for text in mesh.notes)


def test_weights_are_told(read):
    notes = read(rows("2", "1", "0.5")).notes
    assert "warning: the fourth number of 2 `v` lines is ignored" in notes


def test_colours_on_some_vertices_leave_grey():
    mesh = grid("obj_partial_colors.obj")
    np.testing.assert_allclose(mesh.colors[1::4], ramp()[1::4], atol=1)
    assert (mesh.colors[0] == 128).all()
    assert "warning: 13 of 25 vertices have no colour and are grey" in mesh.notes


def test_partial_colours_of_bytes(read):
    mesh = read("v 0 0 0 200 100 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    np.testing.assert_array_equal(mesh.colors, [[200, 100, 0], [128] * 3, [128] * 3])


def test_colours_of_zbrush(read):
    text = "v 0 0 0\nv 1 0 0\nv 0 1 0\n#MRGB ffff0000ff00ff00\n#MRGB ff0000fe\nf 1 2 3\n"
    np.testing.assert_array_equal(read(text).colors, [[255, 0, 0], [0, 255, 0], [0, 0, 254]])
    mesh = read(text.replace("\n#MRGB ff0000fe", ""))
    assert mesh.colors is None
    assert "warning: its `#MRGB` lines have 2 colours for 3 vertices and are ignored" in mesh.notes


@pytest.mark.parametrize("name", ["mtllib_two", "mtllib_quoted", "mtllib_backslash", "mtl_comment", "usemtl_tab"])
def test_the_library_is_found(name):
    mesh = grid(f"obj_{name}.obj")
    np.testing.assert_array_equal(mesh.colors, np.tile(RED, (25, 1)))
    assert not any(note.startswith("warning") for note in mesh.notes)


MTL = "newmtl red\nKd 0.8 0.1 0.1\n"


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("mtllib my lib.mtl", "my lib.mtl"),
        ("mtllib gone.mtl my lib.mtl other.mtl", "my lib.mtl"),
        ("mtllib gone.mtl\nmtllib a.mtl", "a.mtl"),
        ("mtllib A.MTL", "a.mtl"),
        ("mtllib Sub/Lib.mtl", "sub/lib.MTL"),
        ("mtllib C:\\Users\\me\\a.mtl", "a.mtl"),
        ("mtllib /home/me/scans/a.mtl", "a.mtl"),
        ("mtllib 'a.mtl'   # mine", "a.mtl"),
        ('MTLLIB "my lib.mtl" "b.mtl"', "my lib.mtl"),
        ("mtllib lib#1.mtl", "lib#1.mtl"),
        ("mtllib café.mtl", "cafe\u0301.mtl"),
    ],
)
def test_names_of_libraries(read, line, file):
    mesh = read(f"{line}\n{QUAD}usemtl red\nf 1 2 3 4\n", {file: MTL})
    np.testing.assert_array_equal(mesh.colors, np.tile(RED, (4, 1)))


@pytest.mark.parametrize(
    ("newmtl", "usemtl"),
    [
        ("red wall", "red wall"),
        ("red", "red # comment"),
        ("red # comment", "red"),
        ("wall #2", "wall #2"),
        ('"red"', "red"),
        ("Red", "red"),
        ("red\t", "\tred"),
    ],
)
def test_names_of_materials(read, newmtl, usemtl):
    mesh = read(f"mtllib a.mtl\n{QUAD}usemtl {usemtl}\nf 1 2 3 4\n", {"a.mtl": f"newmtl {newmtl}\n\tKD\t0.8 0.1 0.1\n"})
    np.testing.assert_array_equal(mesh.colors, np.tile(RED, (4, 1)))


def test_two_materials_of_two_libraries(read):
    text = f"mtllib a.mtl b.mtl\n{QUAD}usemtl red\nf 1 2 3\nusemtl blue\nf 1 3 4\n"
    mesh = read(text, {"a.mtl": "newmtl red\nKd 1 0 0\n", "b.mtl": "newmtl blue\nKd 0 0 1\n"})
    np.testing.assert_array_equal(mesh.colors, [[128, 0, 128], [255, 0, 0], [128, 0, 128], [0, 0, 255]])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_libraries_in_any_encoding(tmp_path, read, encoding):
    (tmp_path / "a.mtl").write_bytes("newmtl rot\u00e9\r\nKd 0.8 0.1 0.1\r\n".encode(encoding))
    mesh = read(f"mtllib a.mtl\n{QUAD}usemtl rot\u00e9\nf 1 2 3 4\n")
    np.testing.assert_array_equal(mesh.colors, np.tile(RED, (4, 1)))


def test_what_is_missing_is_named(read):
    notes = read(f"mtllib a.mtl\n{QUAD}usemtl blue\nf 1 2 3 4\n", {"a.mtl": MTL}).notes
    assert "warning: 1 material not in its libraries: blue" in notes
    notes = read(f"{QUAD}usemtl blue\nf 1 2 3 4\n").notes
    assert "warning: 1 material named, but no library (`mtllib`)" in notes
    notes = read(f"mtllib a.mtl\n{QUAD}usemtl red\nf 1 2 3 4\n", {"a.mtl": "newmtl red\nKd spectral a.rfl\n"}).notes
    assert "warning: line 2 of a.mtl is not a colour: Kd spectral a.rfl" in notes


FOUR = np.array([[[0, 0, 255], [255, 255, 0]], [[255, 0, 0], [0, 255, 0]]], np.uint8)
"""Lower row red, green; upper row blue, yellow."""
CORNERS = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
TEXTURED = f"mtllib a.mtl\nusemtl t\n{QUAD}{CORNERS}f 1/1 2/2 3/3 4/4\n"
EXPECTED = [[255, 0, 0], [0, 255, 0], [255, 255, 0], [0, 0, 255]]


def test_places_at_the_edges_of_a_texture():
    np.testing.assert_array_equal(grid("obj_full_quad_texture.obj").colors, EXPECTED)


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("map_Kd t.png", "t.png"),
        ("map_kd\tT.PNG", "t.png"),
        ("map_Kd D:\\scans\\maps\\my t.png", "my t.png"),
        ("map_Kd .\\maps\\t.png", "maps/t.png"),
        ('map_Kd "my t.png"', "my t.png"),
        ("map_Kd -blendu on -mm 0 1 -s 1 1 1 my t.png # x", "my t.png"),
        ("map_Kd -o 1 2 -s 1 t.png", "t.png"),
        ("map_Kd -clamp on -bm 0.5 t.png", "t.png"),
    ],
)
def test_names_and_options_of_textures(read, line, file):
    mesh = read(TEXTURED, {"a.mtl": f"newmtl t\n{line}\n", file: FOUR})
    np.testing.assert_array_equal(mesh.colors, EXPECTED)


def test_offset_scale_and_clamp_of_a_texture(read):
    mesh = read(TEXTURED, {"a.mtl": "newmtl t\nmap_Kd -s 0.4 0.4 -o 0.55 0.05 t.png\n", "t.png": FOUR})
    np.testing.assert_array_equal(mesh.colors, [[0, 255, 0]] * 4)
    far = TEXTURED.replace("vt 1 0", "vt 5.2 0")
    mesh = read(far, {"a.mtl": "newmtl t\nmap_Kd -clamp on t.png\n"})
    np.testing.assert_array_equal(mesh.colors[1], [0, 255, 0])
    mesh = read(far, {"a.mtl": "newmtl t\nmap_Kd -imfchan r -t 1 1 1 t.png\n"})
    np.testing.assert_array_equal(mesh.colors[1], [255, 0, 0])
    assert "warning: options of the texture t.png ignored: -imfchan, -t" in mesh.notes


def test_a_texture_of_16_bits(read):
    image = np.array([[0, 65535]], np.uint16)
    mesh = read(TEXTURED, {"a.mtl": "newmtl t\nmap_Kd t.png\n", "t.png": image})
    np.testing.assert_array_equal(mesh.colors[:, 0], [0, 255, 255, 0])


def test_a_file_that_is_no_picture(read):
    notes = read(TEXTURED, {"a.mtl": "newmtl t\nmap_Kd t.png\n", "t.png": "text"}).notes
    assert "warning: a texture cannot be read, t.png: it is damaged or not a picture" in notes


def test_one_filler_colour_does_not_hide_a_texture(read):
    mesh = grid("obj_vertexcolor_and_texture.obj")
    assert {tuple(color) for color in mesh.colors.tolist()} == {(200, 30, 30), (30, 200, 30)}
    varied = TEXTURED.replace("v 0 0 0", "v 0 0 0 1 1 1").replace("v 1 0 0", "v 1 0 0 0 0 0")
    varied = varied.replace("v 1 1 0", "v 1 1 0 0 0 0").replace("v 0 1 0", "v 0 1 0 0 0 0")
    mesh = read(varied, {"a.mtl": "newmtl t\nmap_Kd t.png\n", "t.png": FOUR})
    np.testing.assert_array_equal(mesh.colors, [[255] * 3, [0] * 3, [0] * 3, [0] * 3])
    assert "the vertices have colours, so its materials are not used" in mesh.notes


def test_filler_and_plain_materials(read):
    for filler, expected in (("0.75 0.75 0.75", RED), ("0.2 0.4 0.6", [51, 102, 153])):
        text = re.sub(r"(v .*)", rf"\1 {filler}", QUAD)
        mesh = read(f"mtllib a.mtl\n{text}usemtl red\nf 1 2 3 4\n", {"a.mtl": MTL})
        np.testing.assert_array_equal(mesh.colors[0], expected)


def test_what_is_not_read_is_counted(read):
    text = QUAD + "vp 0 1\nvp 1 1\ncstype bezier\ndeg 3\ncurv 0 1 1 2\nsurf 0 1 0 1 1 2\nl 1 2\np 1\nxyzzy 1\nf 1 2 3\n"
    notes = read(text).notes
    assert "warning: free-form curves and surfaces are not read (1 `curv`, 1 `surf`, 2 `vp`)" in notes
    assert "warning: 1 line with unknown keywords ignored: 'xyzzy'" in notes
    with pytest.raises(MeshError, match="the file has no faces: 2 `l` lines"):
        read(QUAD + "l 1 2\nl 2 3\n")
