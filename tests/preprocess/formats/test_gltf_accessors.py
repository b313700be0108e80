"""Accessors of glTF by hand-computed values, and what is refused by number."""

import numpy as np
import pytest

from tests.preprocess.formats.glb_builder import (
    CODES,
    CORNERS,
    FACES,
    RED,
    SQUARE,
    TRIANGLES,
    Glb,
    faces,
    read,
    refused,
    sparse_of,
)


def test_interleaved_vertices():
    glb = Glb()
    rows = np.zeros(4, [("position", "<f4", 3), ("color", "u1", 4), ("id", "<f4")])
    rows["position"], rows["color"], rows["id"] = SQUARE, [[255, 0, 0, 255]] * 4, 7
    view = glb.view(rows.tobytes(), byteStride=20)
    position = glb.accessor(bufferView=view, componentType=5126, count=4, type="VEC3")
    color = {"bufferView": view, "byteOffset": 12, "componentType": 5121, "count": 4, "type": "VEC4"}
    color = glb.accessor(normalized=True, **color)
    raw = read(glb.simple(glb.primitive(position, attributes={"COLOR_0": color})).bytes())
    np.testing.assert_array_equal(raw.vertices, SQUARE)
    np.testing.assert_array_equal(raw.colors, [RED] * 4)


@pytest.mark.parametrize(
    ("kind", "normalized", "scale"),
    [
        ("i1", True, 127), ("u1", True, 255), ("i2", True, 32767), ("u2", True, 65535),
        ("i1", False, 1), ("u1", False, 1), ("i2", False, 1), ("u2", False, 1), ("f4", False, 1),
    ],
)  # fmt: skip
def test_component_types_of_positions(kind, normalized, scale):
    glb = Glb()
    largest = 100 if kind == "f4" else np.iinfo(kind).max
    smallest = -100 if kind == "f4" else np.iinfo(kind).min
    points = np.array([[0, 0, 0], [largest, 0, 0], [0, smallest, 9]]).astype(kind)
    stored = np.zeros((3, 4), kind)  # rows of vertex attributes begin at multiples of four bytes
    stored[:, :3] = points
    view = glb.view(stored.tobytes(), byteStride=stored.strides[0])
    entry = {"bufferView": view, "componentType": CODES[kind], "count": 3, "type": "VEC3", "normalized": normalized}
    raw = read(glb.simple(glb.primitive(glb.accessor(**entry), np.arange(3, dtype="u1"))).bytes())
    expected = np.maximum(points / scale, -1) if normalized else points.astype(float)
    np.testing.assert_array_equal(raw.vertices, expected)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4"])
def test_types_of_indices(kind):
    glb = Glb()
    assert faces(read(glb.simple(glb.primitive(rows=TRIANGLES.astype(kind))).bytes())) == FACES


@pytest.mark.parametrize("kind", ["u1", "u2", "u4"])
def test_sparse_positions_on_stored_ones(kind):
    glb = Glb()
    indices = {"bufferView": glb.view(np.array([1, 3], kind).tobytes()), "componentType": CODES[kind]}
    values = {"bufferView": glb.view(b"1234" + np.array([[5, 0, 0], [0, 6, 0]], "f4").tobytes()), "byteOffset": 4}
    position = glb.array(SQUARE, sparse={"count": 2, "indices": indices, "values": values})
    raw = read(glb.simple(glb.primitive(position)).bytes())
    np.testing.assert_array_equal(raw.vertices, [[0, 0, 0], [5, 0, 0], [1, 1, 0], [0, 6, 0]])


def test_sparse_positions_without_stored_ones_and_zeros():
    glb = Glb()
    indices = {"bufferView": glb.view(np.array([1, 2], "u1").tobytes()), "componentType": 5121}
    values = {"bufferView": glb.view(np.array([[5, 0, 0], [0, 6, 0]], "f4").tobytes())}
    sparse = {"count": 2, "indices": indices, "values": values}
    position = glb.accessor(componentType=5126, count=3, type="VEC3", sparse=sparse)
    zeros = glb.accessor(componentType=5126, count=3, type="VEC3")
    raw = read(glb.simple(glb.primitive(position, None), glb.primitive(zeros, None)).bytes())
    np.testing.assert_array_equal(raw.vertices, [[0, 0, 0], [5, 0, 0], [0, 6, 0], *[[0, 0, 0]] * 3])


def broken_accessors() -> dict:
    square = {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"}
    return {
        "far": (square | {"count": 5}, "accessor 0 ends at byte 60 of bufferView 0, which has 48"),
        "offset": (square | {"byteOffset": 4}, "accessor 0 ends at byte 52 of bufferView 0"),
        "huge": (square | {"count": 10**15}, "accessor 0 declares 12000000000000000 bytes, the file has"),
        "zeros": (square | {"count": 10**9, "bufferView": None}, "accessor 0 declares 12000000000 bytes, the file has"),
        "negative": (square | {"count": -1}, "accessor 0: `count` is '-1', not a whole number of 0 or more"),
        "words": (square | {"count": "four"}, "accessor 0: `count` is 'four', not a whole number"),
        "view": (
            square | {"bufferView": 9},
            "`bufferView` of accessor 0 names bufferView 9, but the file has 4 of them",
        ),
        "double": (square | {"componentType": 5130}, "accessor 0: componentType 5130 is none of 5120"),
        "plane": (square | {"type": "VEC2"}, "accessor 0 is of type 'VEC2', not VEC3"),
        "matrix": (square | {"type": "MAT4"}, "accessor 0 is of type 'MAT4'"),
        "no type": ({"bufferView": 0, "componentType": 5126, "count": 4}, "accessor 0 is of type ''"),
    }


@pytest.mark.parametrize("name", broken_accessors())
def test_broken_accessors_are_refused_by_number(name):
    glb = Glb()
    content = glb.simple(glb.primitive(attributes={"NORMAL": SQUARE, "TEXCOORD_0": CORNERS}))
    entry, words = broken_accessors()[name]
    content.header["accessors"][0] = entry
    refused(content.bytes(), words)


def test_broken_views_and_sparse_parts_are_refused():
    for field, value, words in (
        ("byteStride", 8, "`byteStride` is '8', not a whole number of 12"),
        ("byteOffset", 10**6, "bufferView 0 ends at byte 1000048 of a buffer of"),
        ("byteLength", 10**6, "bufferView 0 ends at byte 1000000"),
        ("buffer", 3, "names buffer 3"),
    ):
        glb = Glb()
        glb.simple(glb.primitive()).header["bufferViews"][0][field] = value
        refused(glb.bytes(), words)
    for rows, count, words in (([0, 4], 2, "replaces element 4, but the last is 3"), ([0] * 5, 5, "replaces 5 of 4")):
        glb = Glb()
        position = glb.array(SQUARE, sparse=sparse_of(glb, rows, count))
        refused(glb.simple(glb.primitive(position)).bytes(), words)
    glb = Glb()
    refused(
        glb.simple(glb.primitive(rows=TRIANGLES.astype("i2"))).bytes(), "indices of componentType 5122, not unsigned"
    )
