"""Numbers of text files, whatever program and system wrote them."""

import codecs
import math
import pathlib
import re

import numpy as np
import pytest

from preprocess.formats.readers import read_mesh
from preprocess.formats.text_numbers import (
    WordError,
    number_of,
    plain_text,
    read_numbers,
    without_comments,
    words_per_line,
)
from preprocess.mesh.mesh import MeshError

TRIANGLE = {
    "a.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    "a.off": "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
    "a.stl": "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"
    "endsolid a\n",
    "a.ply": "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
}
CORNERS = [[0, 0, 0], [1, 0, 0], [0, 1, 0]]


def write(folder, name, content) -> pathlib.Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", TRIANGLE)
@pytest.mark.parametrize(
    "encode",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    ],
    ids=["utf8", "utf16", "utf16be", "utf16le_without_mark", "utf16be_without_mark", "utf16_crlf"],
)
def test_byte_order_marks(tmp_path, name, encode):
    mesh = read_mesh(write(tmp_path, name, encode(TRIANGLE[name])), units="none")
    np.testing.assert_array_equal(mesh.vertices[mesh.faces[0]], CORNERS)


@pytest.mark.parametrize("name", TRIANGLE)
@pytest.mark.parametrize("newline", ["\r\n", "\r", "mixed"])
@pytest.mark.parametrize("blank", ["\t", "  ", " \t ", "\f "])
def test_white_space_and_line_ends(tmp_path, name, newline, blank):
    lines = TRIANGLE[name].split("\n")
    if name == "a.ply":  # the first line of a PLY has one form
        lines = [lines[0], *(line.replace(" ", blank) + blank.replace("\f", "") for line in lines[1:-1]), ""]
    else:
        lines = [blank + line.replace(" ", blank) + blank for line in lines]
    ends = ["\n", "\r\n"] * len(lines) if newline == "mixed" else [newline] * len(lines)
    text = "".join(line + end for line, end in zip(lines, ends))
    mesh = read_mesh(write(tmp_path, name, text), units="none")
    np.testing.assert_array_equal(mesh.vertices[mesh.faces[0]], CORNERS)


@pytest.mark.parametrize("name", TRIANGLE)
@pytest.mark.parametrize("word", ["0,5", "0x1a", "1_0", "one", "1..0", "--1"])
def test_a_word_that_is_no_number_is_named_with_its_line(tmp_path, name, word):
    place = {"a.obj": 2, "a.off": 4, "a.stl": 5, "a.ply": 11}[name]
    text = TRIANGLE[name].replace("1 0 0\n", f"{word} 0 0\n", 1)
    if name == "a.stl":
        text = TRIANGLE[name].replace("vertex 1 0 0", f"vertex {word} 0 0")
    with pytest.raises(MeshError, match=re.escape(f"line {place}: {word!r} is not a number")):
        read_mesh(write(tmp_path, name, text), units="none")


@pytest.mark.parametrize("name", TRIANGLE)
@pytest.mark.parametrize("word", ["-1.#IND", "1.#QNAN0", "-1.#IND00", "1.#INF", "-nan(ind)", "nan(snan)", "NaN"])
def test_not_finite_numbers_of_any_library_can_be_repaired(tmp_path, name, word):
    text = TRIANGLE[name].replace("0 1 0\n", f"0 {word} 0\n", 1)
    path = write(tmp_path, name, text)
    with pytest.raises(MeshError, match=r"1 of 3 vertices are not finite .* the first is 2"):
        read_mesh(path, units="none")
    with pytest.raises(MeshError, match="the file has no faces"):
        read_mesh(path, units="none", repair=True)  # its only face touches that vertex


@pytest.mark.parametrize("name", TRIANGLE)
def test_exponents_of_fortran(tmp_path, name):
    text = TRIANGLE[name].replace("1 0 0\n", "2.5D-01 0 0\n", 1)
    mesh = read_mesh(write(tmp_path, name, text), units="none")
    assert mesh.vertices.max(axis=0).tolist() == [0.25, 1, 0]


def test_numbers_of_words():
    assert [number_of(w) for w in (b"2.5d-01", b"-1.5D+2", b".5D0", b"1e3")] == [0.25, -150, 0.5, 1000]
    assert [number_of(w) for w in (b"1.#INF", b"-1.#INF00")] == [math.inf, -math.inf]
    assert all(math.isnan(number_of(w)) for w in (b"-1.#IND", b"1.#QNAN", b"1.#SNAN0", b"-nan(ind)", b"nan(0x1)"))
    for word in (b"D5", b"1.#", b"#IND", b"1,5", b"0x10", b"nano2,", b""):
        with pytest.raises(ValueError, match=r"could not convert|underscore"):
            number_of(word)


def test_lines_of_numbers():
    text = b"1 2\r\n\r\n  3\t\r4\n\n5 6 7"
    numbers = read_numbers(b"head\n" * 9 + text, start=5 * 9)
    np.testing.assert_array_equal(numbers.values, np.arange(1, 8))
    np.testing.assert_array_equal(numbers.per_line, [2, 0, 1, 1, 0, 3])
    assert [numbers.line_of(k) for k in range(7)] == [10, 10, 12, 13, 15, 15, 15]
    starts, counts, lines = numbers.rows()
    np.testing.assert_array_equal(starts, [0, 2, 3, 4])
    np.testing.assert_array_equal(counts, [2, 1, 1, 3])
    np.testing.assert_array_equal(lines, [10, 12, 13, 15])
    np.testing.assert_array_equal(words_per_line(b""), [0])
    for blank in (b"", b" \n\t"):
        assert len(read_numbers(blank).values) == 0
    with pytest.raises(WordError) as error:
        read_numbers(b"1 2\n3 1.5.2 4")
    assert (error.value.line, error.value.index) == (2, 3)


def test_comments_are_not_numbers():
    assert without_comments(b"1 2 # three\n-1.#IND 1.#QNAN0 #x\n4#5") == b"1 2 \n-1.#IND 1.#QNAN0 \n4"


def test_text_that_is_cut_in_the_middle_of_a_character():
    with pytest.raises(MeshError, match=r"a\.obj: not a text in UTF-16"):
        plain_text(pathlib.Path("a.obj"), "v 0 0 0".encode("utf-16")[:-1])
