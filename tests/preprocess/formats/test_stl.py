"""STL: text and binary told apart by what they are, and what else their files may hold."""

import pathlib
import re

import numpy as np
import pytest

from preprocess.formats.readers import read_mesh
from preprocess.mesh.mesh import MeshError

CASES = pathlib.Path(__file__).parents[2] / "data" / "cases"
CORNERS = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[1, 0, 0], [1, 1, 0], [0, 1, 0]]], np.float32)
TRIANGLE = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


@pytest.fixture
def read(tmp_path):
    """read(text or bytes) -> the mesh of an STL with that content."""

    def read_content(content):
        path = tmp_path / "a.stl"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_mesh(path, units="none")

    return read_content


def text(name="a", corners=CORNERS) -> str:
    facets = "".join(
        "facet normal 0 0 1\n outer loop\n"
        + "".join(f"  vertex {x:g} {y:g} {z:g}\n" for x, y, z in triangle)
        + " endloop\nendfacet\n"
        for triangle in corners
    )
    return f"solid {name}\n{facets}endsolid {name}\n"


def binary(header=b"binary", attributes=(0, 0)) -> bytes:
    triangles = np.zeros(2, TRIANGLE)
    triangles["corners"], triangles["attribute"] = CORNERS, attributes
    return header.ljust(80) + (2).to_bytes(4, "little") + triangles.tobytes()


def check(mesh):
    np.testing.assert_array_equal(mesh.vertices[mesh.faces], CORNERS)


@pytest.mark.parametrize("name", ["ascii_bom", "ascii_no_endsolid", "ascii_upper", "binary_solid_trailing"])
def test_the_grid(name):
    mesh = read_mesh(CASES / f"stl_{name}.stl", units="none")
    assert mesh.faces.shape == (32, 3)
    np.testing.assert_allclose(mesh.vertices.max(axis=0)[:2], 1)


@pytest.mark.parametrize(
    "content",
    [
        text(),
        "  \n" + text(),
        text().upper(),
        text().replace("endloop", "end loop").replace("endfacet", "end facet").replace("endsolid", "end solid"),
        text().replace("\n", "\r"),
        text("vertex 1 2 3"),
        " ".join(text().split()),
        text(corners=CORNERS[:1]) + text("b", CORNERS[1:]),
        "facet" + text().partition("facet")[2],
        text("").replace("endsolid ", "endsolid"),
    ],
    ids=["plain", "blank", "capital", "two_words", "cr", "name", "one_line", "two_solids", "no_solid", "no_name"],
)
def test_texts(read, content):
    check(read(content))


def test_a_text_without_its_end(read):
    mesh = read(text().replace("endsolid a\n", ""))
    check(mesh)
    assert "warning: the file has no endsolid; was it cut off?" in mesh.notes


@pytest.mark.parametrize("length", range(8, len(text()) - 10, 7))
def test_a_text_that_was_cut(read, length):
    """A cut is refused, unless it is after a whole facet."""
    content = text()[:length]
    if content.rstrip().endswith("endfacet"):
        assert any("no endsolid" in note for note in read(content).notes)
    else:
        with pytest.raises(MeshError):
            read(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text().replace("vertex 1 1 0", "vertex 1 1"), "line 12: a `vertex` line has 2 numbers instead of 3"),
        (text().replace("vertex 1 1 0", "vertex 1 1 0 0"), "line 12: a `vertex` line has 4 numbers instead of 3"),
        (text().replace("vertex 1 1 0", "vertex 1 y 0"), "line 12: 'y' is not a number"),
        (text().replace("  vertex 1 1 0\n", ""), "5 vertex lines for 2 closed facets"),
        ("solid a\nendsolid a\n", "no triangles"),
        (binary()[:-1], "a binary STL with 2 triangles has 184 bytes, this file 183"),
        (binary()[:80] + bytes(4), "the file declares no triangles"),
        (binary()[:80] + bytes(4) + binary()[84:], "the file declares no triangles, but 100 bytes after the header"),
        (b"<html>", "this file 6"),
    ],
)
def test_what_is_wrong_is_named(read, content, message):
    with pytest.raises(MeshError, match=re.escape(message)):
        read(content)


def test_no_triangles():
    with pytest.raises(MeshError, match="no triangles"):
        read_mesh(CASES / "stl_binary_zero.stl")


@pytest.mark.parametrize("header", [b"solid", b"solid facet normal", b"SOLID x", b"binary", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("tail", [b"", b"\0\0", b"tail"])
def test_binary_files_whatever_they_begin_with(read, header, tail):
    mesh = read(binary(header) + tail)
    check(mesh)
    told = f"warning: {len(tail)} bytes after the last triangle not read"
    assert (told in mesh.notes) == bool(tail)


def test_colours_of_triangles(read):
    red, blue = 31 << 10, 31
    mesh = read(binary(attributes=(0x8000 | red, 0x8000 | blue)))
    np.testing.assert_array_equal(mesh.colors, [[255, 0, 0]] * 3 + [[0, 0, 255]] * 3)
    mesh = read(binary(attributes=(0x8000 | red, 0)))
    np.testing.assert_array_equal(mesh.colors, [[255, 0, 0]] * 3 + [[128, 128, 128]] * 3)
    assert "colours of the triangles, 1 of 2 have one" in mesh.notes
    own = read(binary(b"COLOR=\x0a\x14\x1e\xff,MATERIAL=", attributes=(31, 0x8000)))
    np.testing.assert_array_equal(own.colors, [[255, 0, 0]] * 3 + [[10, 20, 30]] * 3)


def test_attributes_that_are_no_colours(read):
    mesh = read(binary(attributes=(1, 2)))
    assert mesh.colors is None
    assert "the attributes of the triangles are not colours and are ignored" in mesh.notes
