"""PLY files whose header, faces, textures and colours are written in other ways."""

import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from preprocess.formats.readers import read_mesh
from preprocess.mesh.mesh import MeshError

CASES = pathlib.Path(__file__).parents[2] / "data" / "cases"
POINTS = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
XYZ = ("float x", "float y", "float z")
FOUR = np.array([[[0, 0, 255], [255, 255, 0]], [[255, 0, 0], [0, 255, 0]]], np.uint8)
"""Lower row red, green; upper row blue, yellow."""
EXPECTED = [[255, 0, 0], [0, 255, 0], [255, 255, 0], [0, 0, 255]]
QUAD = [[0, 1, 2], [0, 2, 3]]
LIST = "list uchar int vertex_indices"


@pytest.fixture
def read(tmp_path):
    """read(content) -> the mesh of a PLY with that content; t.png with four pixels is beside it."""
    Image.fromarray(FOUR).save(tmp_path / "t.png")

    def read_content(content, **options):
        path = tmp_path / "a.ply"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_mesh(path, units="none", **options)

    return read_content


def ply(elements, body, comments=()) -> str:
    """An ASCII PLY; elements: (name, rows, properties)."""
    lines = ["ply", "format ascii 1.0", *(f"comment {comment}" for comment in comments)]
    for name, rows, properties in elements:
        lines += [f"element {name} {rows}", *(f"property {p}" for p in properties)]
    return "\n".join([*lines, "end_header", body])


def quad(name="face", properties=(LIST,), rows="3 0 1 2\n3 0 2 3\n", vertex=XYZ, points=POINTS, comments=()) -> str:
    return ply([("vertex", 4, vertex), (name, 2, properties)], points + rows, comments)


@pytest.mark.parametrize("name", ["bom", "double_list_int64", "element_faces", "list_named_indices", "tristrips"])
def test_the_grid(name):
    mesh = read_mesh(CASES / f"ply_{name}.ply", units="none")
    assert mesh.faces.shape == (32, 3)
    assert (mesh.normals[:, 2] > 0).all()
    np.testing.assert_array_equal(mesh.colors[:, 0], np.arange(25) * 10)


@pytest.mark.parametrize("name", ["face", "faces", "Face", "polygon", "triangles", "patch"])
@pytest.mark.parametrize("list_", ["vertex_indices", "vertex_index", "Vertex_Indices", "vertex_idx", "indices", "v"])
def test_faces_under_other_names(read, name, list_):
    text = quad(name, (f"list uint8 int64 {list_}",))
    if name == "patch" and list_.lower() not in ("vertex_indices", "vertex_index"):
        with pytest.raises(MeshError, match=rf"no faces: it holds 4 vertices and 2 rows of `patch` \({list_}\)"):
            read(text)
        return
    np.testing.assert_array_equal(read(text).faces, QUAD)


@pytest.mark.parametrize("names", ["v0 v1 v2", "v1 v2 v3", "vertex1 vertex2 vertex3", "a b c"])
def test_faces_in_columns(read, names):
    mesh = read(quad("face", [f"int {name}" for name in names.split()], "0 1 2\n0 2 3\n"))
    np.testing.assert_array_equal(mesh.faces, QUAD)


def test_other_lists_beside_the_faces(read):
    properties = ("list uchar float texcoord", "list uchar int corners", "uchar flags")
    mesh = read(quad("face", properties, "2 0.5 0.5 3 0 1 2 7\n0 3 0 2 3 7\n"))
    np.testing.assert_array_equal(mesh.faces, QUAD)
    assert "faces read from `corners` of the element `face`" in mesh.notes
    with pytest.raises(MeshError, match="`face` has 2 lists that may be vertex indices; its properties: `p`, `q`"):
        read(quad("face", ("list uchar int p", "list uchar int q"), "1 0 1 0\n1 0 1 0\n"))
    with pytest.raises(MeshError, match="`face` has no list of vertex indices; its properties: `material`"):
        read(quad("face", ("int material",), "1\n2\n"))


@pytest.mark.parametrize(
    ("strips", "expected"),
    [
        ("5 0 1 2 3 4", [[0, 1, 2], [1, 3, 2], [2, 3, 4]]),
        ("9 0 1 2 3 -1 4 3 2 1", [[0, 1, 2], [1, 3, 2], [4, 3, 2], [3, 1, 2]]),
        ("6 -1 0 1 2 -1 -1", [[0, 1, 2]]),
        ("3 0 1 2\n4 1 2 3 4", [[0, 1, 2], [1, 2, 3], [2, 4, 3]]),
        ("8 0 1 2 2 3 3 4 1", [[0, 1, 2], [3, 1, 4]]),
        ("2 0 1\n3 0 1 2\n0", [[0, 1, 2]]),
    ],
)
@pytest.mark.parametrize("type_", ["int", "uint"])
def test_triangle_strips(read, strips, expected, type_):
    rows = strips.replace("-1", str(2**32 - 1)) if type_ == "uint" else strips
    elements = [("vertex", 5, XYZ), ("tristrips", strips.count("\n") + 1, (f"list int {type_} vertex_indices",))]
    mesh = read(ply(elements, POINTS + "2 1 0\n" + rows + "\n"))
    np.testing.assert_array_equal(mesh.faces, expected)
    assert any(f"read as {len(expected)} triangle" in note for note in mesh.notes)


def test_faces_and_strips_together(read):
    elements = [("vertex", 4, XYZ), ("face", 1, (LIST,)), ("tristrips", 1, ("list int int vertex_indices",))]
    np.testing.assert_array_equal(read(ply(elements, POINTS + "3 0 1 2\n3 0 2 3\n")).faces, QUAD)


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("ends", ["\n \r\n", "\r\n \n", "\r \n", "\n \r"])
def test_two_line_ends_in_one_header(read, text, ends):
    first, second = (end.encode() for end in ends.split(" ")) if ends.split(" ")[0] else (b"\n", b"\r\n")
    head, _, body = quad().encode().partition(b"end_header\n")
    lines = head.splitlines()
    mixed = b"".join(line + (first if k % 2 else second) for k, line in enumerate(lines)) + b"end_header"
    if not text:
        mixed = mixed.replace(b"ascii", b"binary_little_endian")
        corners = b"".join(bytes([3]) + np.array(face, "<i4").tobytes() for face in QUAD)
        body = np.array(POINTS.split(), float).astype("<f4").tobytes() + corners
    mesh = read(mixed + b"\n" + body)
    np.testing.assert_array_equal(mesh.faces, QUAD)


def test_data_that_begin_with_a_line_feed_after_a_header_with_cr(read):
    head = quad().partition("end_header")[0].replace("ascii", "binary_little_endian").replace("\n", "\r")
    places = np.array(POINTS.split(), float).astype("<f4")
    places[0] = np.frombuffer(b"\n\0\0?", "<f4")[0]
    corners = b"".join(bytes([3]) + np.array(face, "<i4").tobytes() for face in QUAD)
    mesh = read(head.encode() + b"end_header\r" + places.tobytes() + corners)
    assert mesh.vertices[0, 0] == places[0]


def test_words_of_the_header_in_other_case_and_blanks(read):
    text = quad(vertex=("FLOAT64 X", "Double Y", "float32 Z")).replace("element vertex", "Element  vertex ")
    text = text.replace("end_header\n", " end_header \n").replace("ply\n", "ply \n", 1)
    np.testing.assert_array_equal(read(text).faces, QUAD)


def test_rows_that_do_not_fit_name_the_line(read):
    with pytest.raises(MeshError, match="line 13: row 1 of the element `vertex` has 7 numbers, the header lists 6"):
        read_mesh(CASES / "ply_ascii_extra_columns.ply")
    cases = [
        (quad(points=POINTS.replace("1 1 0", "1 1 0 9")), "line 12: row 3 of the element `vertex` has 4 numbers"),
        (quad(points="0 0 0\n1 0 0 0\n1 1\n0 1 0\n"), "line 11: row 2 of the element `vertex` has 4 numbers"),
        (quad(rows="3 0 1 2\n3 0 2 3 9\n"), "line 15: row 2 of the element `face` has 5 numbers, its list needs 4"),
        (quad(rows="4 0 1 2\n3 0 2 3\n"), "line 14: row 1 of the element `face` has 4 numbers, its list needs 5"),
    ]
    for text, message in cases:
        with pytest.raises(MeshError, match=re.escape(message)):
            read(text)
    with pytest.raises(MeshError, match="line 10: row 1 of the element `vertex` has 4 numbers, the header lists 3"):
        read(quad(points=POINTS.replace("\n", " 1\n")) + "5 5 5\n")


def test_lines_may_be_broken_elsewhere(read):
    np.testing.assert_array_equal(read(quad(points=POINTS.replace("\n", " "))).faces, QUAD)
    np.testing.assert_array_equal(read(quad(points=POINTS.replace(" ", "\n"))).faces, QUAD)


def test_msvc_words_are_not_finite():
    with pytest.raises(MeshError, match=r"1 of 25 vertices are not finite .* the first is 1"):
        read_mesh(CASES / "ply_ascii_msvc_nan.ply")
    assert len(read_mesh(CASES / "ply_ascii_msvc_nan.ply", units="none", repair=True).vertices) == 25


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("edges_only", r"no faces: it holds 25 vertices and 24 rows of `edge` \(vertex1, vertex2\)"),
        ("gaussian_splat", "no faces: it is a Gaussian splat of 25 points"),
    ],
)
def test_what_is_no_mesh_is_named(name, message):
    with pytest.raises(MeshError, match=message):
        read_mesh(CASES / f"ply_{name}.ply")


def test_other_files_that_are_no_mesh(read):
    with pytest.raises(MeshError, match="no faces: it is a point cloud of 4 points"):
        read(ply([("vertex", 4, XYZ)], POINTS))
    with pytest.raises(MeshError, match="no element `vertex`; there are: `point`, `face`"):
        read(ply([("point", 4, XYZ), ("face", 0, (LIST,))], POINTS))


@pytest.mark.parametrize("name", ["ply_uv_texture", "ply_uv_texture_plain_rgb"])
def test_textures_of_meshlab(name):
    mesh = read_mesh(CASES / f"{name}.ply", units="none")
    assert {tuple(color) for color in mesh.colors.tolist()} == {(200, 30, 30), (30, 200, 30)}
    assert "colours from 1 texture of the PLY" in mesh.notes


PLACES = {"0 0 0": "0 0", "1 0 0": "1 0", "1 1 0": "1 1", "0 1 0": "0 1"}


def with_places(points=POINTS, more="") -> str:
    return "".join(f"{line}{more} {PLACES[line]}\n" for line in points.splitlines())


@pytest.mark.parametrize("names", ["s t", "u v", "texture_u texture_v", "S T"])
@pytest.mark.parametrize("comment", ["TextureFile t.png", "texturefile  T.PNG", "TextureFile C:\\scans\\t.png"])
def test_places_of_vertices(read, names, comment):
    vertex = (*XYZ, *(f"float {name}" for name in names.split()))
    np.testing.assert_array_equal(read(quad(vertex=vertex, points=with_places(), comments=[comment])).colors, EXPECTED)


def test_places_of_corners(read):
    properties = (LIST, "list uchar float texcoord")
    rows = "3 0 1 2 6 0 0 1 0 1 1\n3 0 2 3 6 0 0 1 1 0 1\n"
    np.testing.assert_array_equal(read(quad("face", properties, rows, comments=["TextureFile t.png"])).colors, EXPECTED)


def test_several_textures_by_number(read, tmp_path):
    Image.fromarray(np.full((1, 1, 3), 9, np.uint8)).save(tmp_path / "my 2.png")
    properties = (LIST, "list uchar float texcoord", "int texnumber")
    rows = "3 0 1 2 6 0 0 1 0 1 1 1\n3 0 2 3 0 0\n"
    comments = ["TextureFile t.png", "TextureFile my 2.png"]
    mesh = read(quad("face", properties, rows, comments=comments))
    np.testing.assert_array_equal(mesh.colors, [[9] * 3, [9] * 3, [9] * 3, [128] * 3])


def test_textures_that_cannot_be_read(read):
    vertex = (*XYZ, "float s", "float t")
    mesh = read(quad(vertex=vertex, points=with_places(), comments=["TextureFile gone.png"]))
    assert mesh.colors is None
    assert "warning: a texture cannot be read, gone.png: it is not next to the mesh" in mesh.notes
    mesh = read(quad(comments=["TextureFile t.png"]))
    assert mesh.colors is None
    assert "warning: no texture coordinates for the texture t.png" in mesh.notes


RGB = ("uchar red", "uchar green", "uchar blue")


def test_colours_of_vertices_come_before_textures_unless_they_are_filler(read):
    vertex = (*XYZ, *RGB, "float s", "float t")
    comments = ["TextureFile t.png"]
    mesh = read(quad(vertex=vertex, points=with_places(more=" 192 192 192"), comments=comments))
    np.testing.assert_array_equal(mesh.colors, EXPECTED)
    varied = with_places(more=" 192 192 192").replace("192", "7", 1)
    mesh = read(quad(vertex=vertex, points=varied, comments=comments))
    np.testing.assert_array_equal(mesh.colors[:, 0], [7, 192, 192, 192])
    assert "the vertices have colours, so the texture t.png is not used" in mesh.notes


def test_colours_of_faces_are_averaged(read):
    mesh = read_mesh(CASES / "ply_face_colors_only.ply", units="none")
    assert "colours of 32 faces averaged at the vertices" in mesh.notes
    assert mesh.colors.any()
    mesh = read(quad("face", (LIST, *RGB), "3 0 1 2 1 0 0\n3 0 2 3 0 0 1\n"))
    np.testing.assert_array_equal(mesh.colors, [[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1]])
    floats = (LIST, "float red", "float green", "float blue")
    mesh = read(quad("face", floats, "3 0 1 2 1 0 0\n3 0 2 3 0 0 1\n"))
    np.testing.assert_array_equal(mesh.colors[[1, 3]], [[255, 0, 0], [0, 0, 255]])


@pytest.mark.parametrize("names", ["diffuse_red diffuse_green diffuse_blue", "r g b", "Red Green Blue"])
def test_names_of_colours(read, names):
    points = "".join(f"{line} 0.5 0 1\n" for line in POINTS.splitlines())
    mesh = read(quad(vertex=(*XYZ, *(f"float {name}" for name in names.split())), points=points))
    np.testing.assert_array_equal(mesh.colors, [[128, 0, 255]] * 4)
