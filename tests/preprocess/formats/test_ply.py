"""The PLY reader against plyfile, and against files that lie or were cut."""

import pathlib
import re
import tracemalloc

import numpy as np
import plyfile
import pytest

from preprocess.formats.ply.header import parse_header
from preprocess.formats.ply.ply import read_ply, read_ply_labels
from preprocess.formats.readers import read_mesh
from preprocess.mesh.mesh import MeshError

MIXED = [[0, 1, 2], [0, 2, 3, 1], [3, 2, 1], [0, 1, 2, 3, 2]]
POINTS = np.array([[0, 0, 0], [1.5, 0, 0], [0, 2.25, -1], [1, 1, 1]])


def read(path):
    return read_ply(path, path.read_bytes())


@pytest.mark.parametrize("storage", ["ascii", "little", "big"])
@pytest.mark.parametrize("faces", [[[0, 1, 2], [2, 1, 3]], MIXED, []], ids=["triangles", "polygons", "points"])
def test_equals_plyfile(tmp_path, write_ply, storage, faces):
    text, order = storage == "ascii", ">" if storage == "big" else "<"
    colors = np.arange(12, dtype=np.uint8).reshape(4, 3)
    path = write_ply(tmp_path / "a.ply", POINTS, faces, np.array([5, 0, 65535, 7]), colors, text, order)
    raw, expected = read(path), plyfile.PlyData.read(path)
    for k, name in enumerate("xyz"):
        np.testing.assert_array_equal(raw.vertices[:, k], expected["vertex"][name])
    np.testing.assert_array_equal(raw.colors, colors)
    np.testing.assert_array_equal(raw.labels, expected["vertex"]["label"])
    lists = list(expected["face"]["vertex_indices"])
    np.testing.assert_array_equal(raw.counts, [len(polygon) for polygon in lists])
    np.testing.assert_array_equal(raw.corners, np.concatenate(lists) if lists else [])
    np.testing.assert_array_equal(read_ply_labels(path, path.read_bytes()), raw.labels)


@pytest.mark.parametrize("storage", ["ascii", "little", "big"])
@pytest.mark.parametrize(
    ("dtype", "values", "expected", "notes"),
    [
        ("u1", [0, 1, 1], [0, 1, 1], []),
        ("u1", [0, 1, 255], [0, 1, 255], []),
        ("u2", [0, 1, 1], [0, 1, 1], ["colours of type uint16 read as 0 to 255"]),
        ("f4", [0, 1, 1], [0, 255, 255], ["colours of type float32 read as 0 to 1"]),
    ],
)
def test_the_declared_type_decides_the_range_of_colors(tmp_path, write_ply, storage, dtype, values, expected, notes):
    text, order = storage == "ascii", ">" if storage == "big" else "<"
    path = write_ply(tmp_path / "a.ply", POINTS, MIXED, None, np.array([values] * 4, dtype), text, order)
    mesh = read_mesh(path)
    np.testing.assert_array_equal(mesh.colors, [expected] * 4)
    assert [note for note in mesh.notes if "colours" in note] == notes


@pytest.mark.parametrize("value", ["256", "0.5", "-1", "nan"])
def test_text_colors_that_their_type_cannot_hold(tmp_path, write_ply, value):
    path = write_ply(tmp_path / "a.ply", POINTS, MIXED, None, np.full((4, 3), 77, np.uint8), text=True)
    changed = path.read_bytes().replace(b"1 1 1 77 77 77", f"1 1 1 77 {value} 77".encode())
    with pytest.raises(MeshError, match=rf"`green` is declared uint8, but vertex 3 has {value}"):
        read_ply(path, changed)


@pytest.mark.parametrize("text", [False, True])
def test_skips_what_it_does_not_know(tmp_path, text):
    """An element before the vertices with two lists, and faces with texture coordinates before and flags after."""
    camera = np.empty(2, [("a", "O"), ("s", "f8"), ("b", "O")])
    camera["a"], camera["s"], camera["b"] = [np.arange(3), np.arange(0)], [0.5, 1.5], [np.arange(1), np.arange(2)]
    vertex = np.array([(*row, 3) for row in POINTS], [("x", "f8"), ("y", "f8"), ("z", "f8"), ("quality", "f4")])
    face = np.empty(2, [("texcoord", "O"), ("vertex_index", "O"), ("flags", "i1")])
    face["texcoord"] = [np.zeros(6, np.float32), np.zeros(8, np.float32)]
    face["vertex_index"], face["flags"] = [np.array([0, 1, 2]), np.array([3, 2, 1, 0])], [1, -1]
    described = [
        plyfile.PlyElement.describe(camera, "camera"),
        plyfile.PlyElement.describe(vertex, "vertex"),
        plyfile.PlyElement.describe(face, "face", val_types={"texcoord": "f4"}, len_types={"vertex_index": "u4"}),
    ]
    path = tmp_path / "a.ply"
    plyfile.PlyData(described, text=text).write(path)
    raw = read(path)
    np.testing.assert_array_equal(raw.vertices, POINTS)
    np.testing.assert_array_equal(raw.counts, [3, 4])
    np.testing.assert_array_equal(raw.corners, [0, 1, 2, 3, 2, 1, 0])
    assert raw.colors is None
    assert raw.labels is None


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
def test_line_ends_of_the_header(tmp_path, write_ply, newline):
    content = write_ply(tmp_path / "a.ply", POINTS, MIXED).read_bytes()
    start = content.index(b"end_header\n") + len(b"end_header\n")
    changed = content[:start].replace(b"\n", newline) + content[start:]
    expected, raw = read(tmp_path / "a.ply"), read_ply(pathlib.Path("b.ply"), changed)
    np.testing.assert_array_equal(raw.vertices, expected.vertices)
    np.testing.assert_array_equal(raw.corners, expected.corners)


@pytest.mark.parametrize("faces", [[[0, 1, 2], [2, 1, 3]], MIXED], ids=["triangles", "polygons"])
@pytest.mark.parametrize("storage", ["ascii", "little"])
def test_every_cut_is_noticed(tmp_path, write_ply, storage, faces):
    content = write_ply(tmp_path / "a.ply", POINTS, faces, text=storage == "ascii").read_bytes()
    last = len(content.rstrip()) if storage == "ascii" else len(content)
    for length in range(last):
        # Cutting the digits of the last number of a text file leaves a number, which no reader can tell.
        if storage == "ascii" and content[length - 1 : length].isdigit() and b" " not in content[length:].strip():
            continue
        with pytest.raises(MeshError):
            read_ply(pathlib.Path("cut.ply"), content[:length])


def test_truncation_names_element_and_counts(tmp_path, write_ply, sphere):
    content = write_ply(tmp_path / "a.ply", *sphere).read_bytes()
    with pytest.raises(MeshError, match=r"a\.ply: element 'face' declares 5120 rows, but the file has room for 5110"):
        read_ply(pathlib.Path("a.ply"), content[:-129])
    with pytest.raises(MeshError, match=r"element 'vertex' declares 2562 rows, but the file has room for 80"):
        read_ply(pathlib.Path("a.ply"), content[: content.index(b"end_header\n") + 11 + 80 * 12 + 5])


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("element", ["vertex", "face"])
def test_lying_counts_do_not_allocate(tmp_path, write_ply, sphere, text, element):
    content = write_ply(tmp_path / "a.ply", *sphere, text=text).read_bytes()
    content = re.sub(rf"element {element} \d+".encode(), f"element {element} 1000000000".encode(), content)
    tracemalloc.start()
    with pytest.raises(MeshError, match="declares 1000000000 rows"):
        read_ply(pathlib.Path("a.ply"), content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * len(content) + 2**20


def test_a_list_longer_than_the_file(tmp_path):
    header = b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
    header += b"property float z\nelement face 2\nproperty list uint int vertex_indices\nend_header\n"
    rows = np.zeros(3, "<f4").tobytes() + np.array([3, 0, 0, 0, 2**32 - 1, 0, 0, 0], "<u4").tobytes()
    with pytest.raises(MeshError, match="element 'face' declares 2 rows, but the file has room for 1"):
        read_ply(pathlib.Path("a.ply"), header + rows)
    first_wrong = np.zeros(3, "<f4").tobytes() + np.array([2**32 - 1, 0, 0, 0, 0, 0], "<u4").tobytes()
    with pytest.raises(MeshError, match="room for 0"):
        read_ply(pathlib.Path("a.ply"), header + first_wrong)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a PLY: the file is empty"),
        (b"<!DOCTYPE html><html>", "not a PLY: begins with '<!DOCTYPE html><html>'"),
        (b"ply\nformat ascii 1.0\n", "no end_header"),
        (b"ply\nelement vertex 0\nend_header\n", "no format line"),
        (b"ply\nformat ascii 1.0\nelement vertex x\nend_header\n", "line 3 of the PLY header is 'element vertex x'"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty list float int x\nend_header\n", "line 4"),
        (
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty int x\nproperty int x\nend_header\n1 1",
            "a name twice: x, x",
        ),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1", "no vertex property y, z"),
        (
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\none\n",
            "line 6: 'one' is not a number",
        ),
    ],
)
def test_no_ply(content, message):
    with pytest.raises(MeshError, match=re.escape(message)):
        read_ply(pathlib.Path("a.ply"), content)


def test_labels_must_be_integers(tmp_path):
    rows = np.array([(0, 0, 0, 1.5)], [("x", "f4"), ("y", "f4"), ("z", "f4"), ("label", "f4")])
    path = tmp_path / "a.ply"
    plyfile.PlyData([plyfile.PlyElement.describe(rows, "vertex")]).write(path)
    with pytest.raises(MeshError, match=r"value 0 of the property `label` is 1\.5, which is not a 32-bit integer"):
        read_ply_labels(path, path.read_bytes())


def test_the_header_ends_where_the_data_begin(tmp_path, write_ply):
    content = write_ply(tmp_path / "a.ply", POINTS, MIXED).read_bytes()
    assert content[: parse_header(tmp_path, content).start].endswith(b"end_header\n")
