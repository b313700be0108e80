"""Object File Format in every spelling of its header, as text and binary."""

import pathlib
import re
import tracemalloc

import numpy as np
import pytest

from preprocess.formats.readers import read_mesh
from preprocess.mesh.mesh import MeshError

CASES = pathlib.Path(__file__).parents[2] / "data" / "cases"
POINTS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
NORMALS = np.array([[0, 0, 1.0]] * 4)
COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]])
PLACES = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])


@pytest.fixture
def read(tmp_path):
    """read(text or bytes) -> the mesh of an OFF with that content."""

    def read_content(content):
        path = tmp_path / "a.off"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_mesh(path, units="none")

    return read_content


def lines(*columns) -> str:
    return "".join(" ".join(f"{x:g}" for x in row) + "\n" for row in np.concatenate(columns, axis=1))


@pytest.mark.parametrize("name", ["modelnet", "bom", "lower", "noheader", "NOFF", "CNOFF"])
def test_headers_of_the_grid(name):
    mesh = read_mesh(CASES / f"off_{name}.off", units="none")
    assert mesh.vertices.shape == (25, 3)
    assert mesh.faces.shape == (32, 3)
    assert mesh.vertices[24, :2].tolist() == [1, 1]
    assert (mesh.colors is None) == (name != "CNOFF")


PREFIXES = ["", "N", "C", "CN", "ST", "STN", "STC", "STCN", "NC"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("alpha", [True, False])
@pytest.mark.parametrize("lower", [True, False])
def test_every_combination_of_columns(read, prefix, alpha, lower):
    opaque = np.full((4, 1), 255)
    parts = [POINTS]
    parts += [NORMALS] if "N" in prefix else []
    parts += [COLORS, opaque][: 1 + alpha] if "C" in prefix else []
    parts += [PLACES] if "ST" in prefix else []
    name = f"{prefix}OFF".lower() if lower else f"{prefix}OFF"
    mesh = read(f"{name}\n4 1 0\n{lines(*parts)}4 0 1 2 3\n")
    np.testing.assert_array_equal(mesh.vertices, POINTS)
    assert len(mesh.faces) == 2
    if "C" in prefix:
        np.testing.assert_array_equal(mesh.colors, COLORS)
    else:
        assert mesh.colors is None


@pytest.mark.parametrize(
    "head", ["OFF4 1 0", "OFF 4 1 0", "OFF\t4\t1", "OFF\n4 1", "OFF\n4\n1\n0", "# x\nOFF # y\n4 1 0"]
)
def test_counts_anywhere(read, head):
    np.testing.assert_array_equal(read(f"{head}\n{lines(POINTS)}4 0 1 2 3\n").vertices, POINTS)


@pytest.mark.parametrize("prefix", ["", "N", "C"])
def test_line_breaks_anywhere(read, prefix):
    parts = [POINTS, *([NORMALS] if "N" in prefix else []), *([COLORS] if "C" in prefix else [])]
    text = lines(*parts) + "3 0 1 2\n3 0 2 3\n"
    for broken in (text.replace("\n", " "), text.replace(" ", "\n"), text.replace("\n", " ", 3)):
        mesh = read(f"{prefix}OFF\n4 2 0\n{broken}")
        np.testing.assert_array_equal(mesh.vertices, POINTS)
        np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3]])


@pytest.mark.parametrize("name", ["4OFF", "C4OFF", "nOFF", "4nOFF"])
def test_other_dimensions_are_refused_by_name(read, name):
    with pytest.raises(MeshError, match=f"{name}, whose points are not of three dimensions, is not read"):
        read(f"{name}\n4 1 0\n{lines(POINTS)}4 0 1 2 3\n")


def test_six_columns_that_are_normals():
    mesh = read_mesh(CASES / "off_normals_as_colors.off", units="none")
    assert mesh.colors is None
    assert any("normals, not colours" in note for note in mesh.notes)


@pytest.mark.parametrize("normals", [-NORMALS, NORMALS * 0.6, [[0.6, 0.8, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]]])
def test_six_columns(read, normals):
    mesh = read(f"OFF\n4 1 0\n{lines(POINTS, np.asarray(normals))}4 0 1 2 3\n")
    assert (mesh.colors is None) == (np.min(normals) < 0 or np.max(normals) > 0.6)


def test_colours_of_faces_are_averaged():
    mesh = read_mesh(CASES / "off_face_colors.off", units="none")
    assert (mesh.colors[24] == np.rint(255 * np.array([0.8, 0.1, 0.1]))).all()
    assert "colours of 32 faces, read as 0 to 1, averaged at the vertices" in mesh.notes


@pytest.mark.parametrize(
    ("first", "second"),
    [("255 0 0", "0 0 255"), ("1.0 0 0", "0 0 1.0"), ("255 0 0 255", "0 0 255 128"), ("1 0 0 0.5", "0 0 1 1")],
)
def test_colours_of_two_faces(read, first, second):
    mesh = read(f"OFF\n4 2 0\n{lines(POINTS)}3 0 1 2 {first}\n3 0 2 3 {second}\n")
    np.testing.assert_array_equal(mesh.colors, [[128, 0, 128], [255, 0, 0], [128, 0, 128], [0, 0, 255]])


def test_colours_of_some_faces_and_of_a_colour_map(read):
    mesh = read(f"OFF\n4 2 0\n{lines(POINTS)}3 0 1 2 255 0 0\n3 0 2 3 7\n")
    np.testing.assert_array_equal(mesh.colors[[1, 3]], [[255, 0, 0], [128, 128, 128]])
    assert "warning: 1 face with the index of a colour map, which is not read" in mesh.notes


def test_colours_of_vertices_come_before_those_of_faces(read):
    mesh = read(f"COFF\n4 1 0\n{lines(POINTS, COLORS)}4 0 1 2 3 9 9 9\n")
    np.testing.assert_array_equal(mesh.colors, COLORS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("OFF\n4 1 0\n0 0 0\n1 0\n1 1 0\n0 1 0\n4 0 1 2 3\n", "line 4: vertex 1 has 2 numbers, the first has 3"),
        ("NOFF\n4 1 0\n" + lines(POINTS) + "4 0 1 2 3\n", "line 3: vertex 0 has 3 numbers, NOFF has 6"),
        ("OFF\n4 1 0\n" + lines(POINTS, PLACES) + "4 0 1 2 3\n", "line 3: vertex 0 has 5 numbers, OFF has 3 or 6 or 7"),
        ("OFF\n4 1 0\n" + lines(POINTS) + "4 0 1 2\n", "line 7: face 0 declares 4 corners, its line has 3"),
        ("OFF\n4 1 0\n" + lines(POINTS) + "4 0 1 2 2.5\n", "line 7: a corner of a face is 2.5"),
        ("OFF\n4 2 0\n" + lines(POINTS) + "4 0 1 2 3\n", "4 vertices and 2 faces declared, 5 lines present"),
        ("OFF\nfour 1 0\n", "no vertex and face counts after OFF"),
        ("COFFEE\n4 1 0\n", "not an OFF: begins with 'COFFEE"),
        ("OFF\n4 1 0\n0 0 0\n1 0 zero\n", "line 4: 'zero' is not a number"),
    ],
)
def test_what_does_not_fit_is_named_with_its_line(read, text, message):
    with pytest.raises(MeshError, match=re.escape(message)):
        read(text)


def test_lines_after_the_last_face_are_told(read):
    notes = read(f"OFF\n4 1 0\n{lines(POINTS)}4 0 1 2 3\n3 0 1 2\n").notes
    assert "warning: 1 line after the last face not read; are the counts right?" in notes


def binary(prefix="", colors=None, face=(4, 0, 1, 2, 3), face_colors=()) -> bytes:
    """An OFF BINARY with one face."""
    parts = [POINTS, *([NORMALS] if "N" in prefix else []), *([] if colors is None else [colors])]
    vertices = np.concatenate(parts, axis=1).astype(">f4").tobytes()
    counts = np.array([4, 1, 0], ">i4").tobytes()
    end = np.array([len(face_colors)], ">i4").tobytes() + np.array(face_colors, ">f4").tobytes()
    return f"{prefix}OFF BINARY\n".encode() + counts + vertices + np.array(face, ">i4").tobytes() + end


def test_binary(read):
    mesh = read(binary())
    np.testing.assert_array_equal(mesh.vertices, POINTS)
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [0, 2, 3]])
    rgba = np.concatenate([COLORS / 255, np.ones((4, 1))], axis=1)
    np.testing.assert_array_equal(read(binary("C", rgba)).colors, COLORS)
    np.testing.assert_array_equal(read(binary("CN", rgba)).colors, COLORS)
    np.testing.assert_array_equal(read(binary(face_colors=(0, 1, 0, 1))).colors, [[0, 255, 0]] * 4)


@pytest.mark.parametrize(
    "content",
    [binary()[:-1], binary()[:-9], binary()[:20], binary(face=(9, 0, 1, 2, 3)), binary(face=(-1, 0, 1, 2, 3))],
)
def test_binary_that_is_cut_or_lies(read, content):
    with pytest.raises(MeshError, match=r"declared, which .* bytes of binary data cannot hold"):
        read(content)


@pytest.mark.parametrize("counts", ["1000000000 1 0", "4 1000000000 0", "999999999999999999 999999999999999999 0"])
def test_lying_counts_do_not_allocate(read, counts):
    tracemalloc.start()
    with pytest.raises(MeshError, match="declared"):
        read(f"OFF\n{counts}\n{lines(POINTS)}4 0 1 2 3\n")
    big = np.array([2**31 - 1, 2**31 - 1, 0], ">i4").tobytes()
    with pytest.raises(MeshError, match="declared"):
        read(b"OFF BINARY\n" + big + binary()[23:])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22
