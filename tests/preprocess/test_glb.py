"""GLB files by the glTF 2.0 standard: hand-computed values for every feature, trimesh's reader as a second opinion."""

import base64
import collections
import json
import pathlib
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import trimesh

from preprocess.glb import read_glb
from preprocess.mesh import MeshError, RawMesh
from preprocess.readers import read_mesh
from tests.preprocess.glb_builder import CODES, SQUARE, TRIANGLES, Glb, pack, png

CASES = pathlib.Path(__file__).parents[1] / "data" / "cases"
FACES = [[0, 1, 2], [0, 2, 3]]
RED, GREEN, BLUE, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]
FOUR = [[RED, GREEN], [BLUE, WHITE]]
CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], "f4")
INSIDE = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]], "f4")


def read(content: bytes) -> RawMesh:
    return read_glb(pathlib.Path("a.glb"), content)


def faces(raw: RawMesh) -> list:
    return raw.corners.reshape(-1, 3).tolist()


def refused(content: bytes, *words: str) -> None:
    with pytest.raises(MeshError) as error:
        read(content)
    assert error.value.file == "a.glb"
    assert error.value.remedy.endswith(".")
    for word in words:
        assert word in error.value.cause


def test_a_square():
    glb = Glb()
    raw = read(glb.simple(glb.primitive()).bytes())
    np.testing.assert_array_equal(raw.vertices, SQUARE)
    assert faces(raw) == FACES
    assert raw.colors is None
    assert raw.notes == []


# The container


def test_chunks_and_padding():
    glb = Glb()
    glb.simple(glb.primitive()).bytes()
    header = glb.header | {"buffers": [{"byteLength": len(glb.binary)}]}
    text = json.dumps(header).encode()
    strange = struct.pack("<I4s", 4, b"XYZ\0") + b"abcd"
    for content in (
        pack(text + b"\n \0\0\0", glb.binary),
        pack(b"\xef\xbb\xbf" + text, glb.binary),
        pack(text, glb.binary, extra=strange),
    ):
        np.testing.assert_array_equal(read(content).vertices, SQUARE)
    whole = pack(text, glb.binary)
    raw = read(whole + b"more")
    np.testing.assert_array_equal(raw.vertices, SQUARE)
    assert raw.notes == [
        f"warning: the header declares {len(whole)} bytes, the file has {len(whole) + 4}; is it one file?"
    ]


def test_containers_that_are_refused():
    glb = Glb()
    header = glb.simple(glb.primitive()).header | {"buffers": [{"byteLength": len(glb.binary)}]}
    whole = pack(header, glb.binary)
    refused(pack(header, glb.binary, version=1), "version 1 (glTF 1.0)")
    refused(pack(header, glb.binary, version=3), "version 3")
    refused(whole[:16] + b"BIN\0" + whole[20:], "not JSON")
    refused(pack(header, None), "buffer 0 has no data")
    refused(pack(header, glb.binary[:-8]), f"buffer 0 declares {len(glb.binary)} bytes", f"has {len(glb.binary) - 8}")
    refused(whole[:-8], f"the header declares {len(whole)} bytes, the file has {len(whole) - 8}")
    refused(whole.replace(b"BIN\0", b"BIN ").replace(struct.pack("<I", len(glb.binary)), b"\xff\0\0\0"), "chunk ends")
    refused(pack(b"[1]"), "no object")
    refused(pack(b'{"a": nothing}'), "not a readable GLB (JSONDecodeError")
    refused(pack(b'\xff\xff{"a": 1}'), "not a readable GLB (UnicodeDecodeError")
    refused(pack(b'{"asset": {"version": "3.0"}}'), "glTF '3.0'")
    refused(pack(b'{"asset": {"version": "2.1", "minVersion": "2.1"}}'), "glTF '2.1'")
    refused(pack({"asset": {"version": "2.0"}}, None), "no node of its scene has a mesh")


def test_buffers_in_data_uris_and_in_other_files():
    glb = Glb()
    glb.simple(glb.primitive())
    uri = "data:application/octet-stream;base64," + base64.b64encode(glb.binary).decode()
    entry = {"byteLength": len(glb.binary)}
    np.testing.assert_array_equal(read(pack(glb.header | {"buffers": [entry | {"uri": uri}]}, None)).vertices, SQUARE)
    escaped = "data:," + "".join(f"%{byte:02x}" for byte in glb.binary)
    raw = read(pack(glb.header | {"buffers": [entry | {"uri": escaped}]}, None))
    np.testing.assert_array_equal(raw.vertices, SQUARE)
    for other in ("scene.bin", "https://example.com/a.bin", "/etc/hostname"):
        refused(pack(glb.header | {"buffers": [entry | {"uri": other}]}, None), "buffer 0 lies in another file", other)
    refused(pack(glb.header | {"buffers": [entry | {"uri": uri[:-9]}]}, None), "buffer 0 declares")
    refused(pack(glb.header | {"buffers": [entry | {"uri": "data:;base64"}]}, None), "without data")


# Accessors


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


def sparse_of(glb: Glb, rows, count: int) -> dict:
    indices = {"bufferView": glb.view(np.array(rows, "u2").tobytes()), "componentType": 5123}
    return {"count": count, "indices": indices, "values": {"bufferView": glb.view(bytes(12 * len(rows)))}}


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


# Primitives


def test_strips_turn_every_other_triangle_and_fans_meet_in_the_first_vertex():
    glb = Glb()
    strip = glb.primitive(rows=np.array([0, 1, 3, 2], "u2"), mode=5)
    assert faces(read(glb.simple(strip).bytes())) == [[0, 1, 3], [1, 2, 3]]
    glb = Glb()
    assert faces(read(glb.simple(glb.primitive(rows=np.array([3, 0, 1, 2], "u2"), mode=6)).bytes())) == [
        [0, 1, 3],
        [1, 2, 3],
    ]
    glb = Glb()
    assert faces(read(glb.simple(glb.primitive(rows=None, mode=5)).bytes())) == [[0, 1, 2], [1, 3, 2]]
    glb = Glb()
    assert faces(read(glb.simple(glb.primitive(rows=None, mode=6)).bytes())) == [[1, 2, 0], [2, 3, 0]]
    glb = Glb()
    assert faces(read(glb.simple(glb.primitive(SQUARE[:3], rows=None)).bytes())) == [[0, 1, 2]]
    glb = Glb()
    short = glb.primitive(rows=np.array([0, 1], "u2"), mode=6)
    assert faces(read(glb.simple(glb.primitive(), short, glb.primitive(SQUARE[:1], None, mode=5)).bytes())) == FACES


def test_lines_and_points_are_counted():
    glb = Glb()
    others = [glb.primitive(rows=None, mode=mode) for mode in (0, 1, 2, 3)]
    raw = read(glb.simple(*others, glb.primitive(), {"attributes": {}}).bytes())
    np.testing.assert_array_equal(raw.vertices, SQUARE)
    assert raw.notes == [
        "warning: 1 part of points left out",
        "warning: 3 parts of lines left out",
        "warning: 1 part without POSITION left out",
    ]
    glb = Glb()
    refused(
        glb.simple(*[glb.primitive(mode=mode) for mode in (0, 3, 3)]).bytes(), "1 part of points and 2 parts of lines"
    )


def test_primitives_that_are_refused():
    glb = Glb()
    refused(glb.simple(glb.primitive(rows=TRIANGLES[:4])).bytes(), "mesh 0, primitive 0 has 4 corners")
    glb = Glb()
    second = glb.primitive(rows=np.array([0, 1, 4], "u2"))
    refused(glb.simple(glb.primitive(), second).bytes(), "primitive 1 names vertex 4, but its vertices are 0 to 3")
    glb = Glb()
    refused(glb.simple(glb.primitive(mode=7)).bytes(), "mode 7")
    glb = Glb()
    refused(glb.simple(glb.primitive(attributes={"POSITION": 77})).bytes(), "names accessor 77")


def test_morph_targets_at_their_weights():
    glb = Glb()
    up, aside = np.full((4, 3), [0, 0, 1], "f4"), np.full((4, 3), [1, 0, 0], "f4")
    targets = [{"POSITION": glb.array(up)}, {"POSITION": glb.array(aside)}, {}]
    mesh = glb.mesh(glb.primitive(targets=targets), weights=[0.5, 0, 1])
    nodes = [
        glb.node(mesh=mesh),
        glb.node(mesh=mesh, weights=[0, 2, 0]),
        glb.node(mesh=glb.mesh(glb.primitive(targets=targets))),
    ]
    raw = read(glb.bytes(scenes=[{"nodes": nodes[::-1]}]))
    np.testing.assert_array_equal(raw.vertices, np.concatenate([SQUARE + up / 2, SQUARE + 2 * aside, SQUARE]))


# The scene graph


def test_nodes_with_matrices_translations_rotations_and_scales():
    glb = Glb()
    mesh = glb.mesh(glb.primitive())
    half = np.sqrt(0.5)
    child = glb.node(mesh=mesh, translation=[1, 2, 3], rotation=[0, 0, half, half], scale=[2, 1, 1])
    matrix = np.array([[0, 0, 1, 10], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    root = glb.node(matrix=matrix.T.ravel().tolist(), children=[child])
    raw = read(glb.bytes(scene=0, scenes=[{"nodes": [root]}]))
    placed = [[1 - y, 2 + 2 * x, 3] for x, y, _ in SQUARE]  # a quarter turn about z, then the step
    np.testing.assert_allclose(raw.vertices, [[10 + z, x, y] for x, y, z in placed], atol=1e-12)
    assert faces(raw) == FACES


def test_mirrored_nodes_turn_their_faces():
    glb = Glb()
    mesh = glb.mesh(glb.primitive())
    nodes = [glb.node(mesh=mesh, scale=scale) for scale in ([-1, 1, 1], [-1, -1, 1], [1, 1, -2])]
    raw = read(glb.bytes(scenes=[{"nodes": nodes[::-1]}]))
    normals = np.cross(*np.diff(raw.vertices[raw.corners.reshape(-1, 3)], axis=1).transpose(1, 0, 2))
    np.testing.assert_array_equal(np.sign(normals[:, 2]), [1, 1, 1, 1, -1, -1])  # what is outside stays outside


def test_which_scene_is_read():
    def glb_of(**changes) -> bytes:
        glb = Glb()
        mesh = glb.mesh(glb.primitive())
        for step in range(4):
            glb.node(mesh=mesh, translation=[step, 0, 0])
        glb.header["nodes"][3]["children"] = [2]
        return glb.bytes(**changes)

    scenes = [{"nodes": [0]}, {"nodes": [1]}]
    for changes, steps in (
        ({"scenes": scenes, "scene": 1}, [1]),
        ({"scenes": scenes}, [0]),
        ({"scenes": []}, [3, 5, 1, 0]),
        ({}, [3, 5, 1, 0]),
    ):
        raw = read(glb_of(**changes))
        assert raw.vertices[::4, 0].tolist() == steps
        assert ("warning: 2 scenes in the file" in str(raw.notes)) == (
            "scenes" in changes and len(changes["scenes"]) > 1
        )
    refused(glb_of(scene=5, scenes=scenes), "`scene` of the file names scene 5, but the file has 2 of them")
    refused(glb_of(scenes=[{"nodes": []}]), "no node of its scene has a mesh")


def test_order_of_nodes_is_that_of_trimesh():
    glb = Glb()
    meshes = [glb.mesh(glb.primitive(SQUARE + step), glb.primitive(SQUARE + step + 0.5)) for step in range(6)]
    nodes = [glb.node(mesh=mesh, name=f"node {mesh}") for mesh in meshes]
    glb.header["nodes"][0]["children"] = [nodes[1], nodes[2]]
    glb.header["nodes"][2]["children"] = [nodes[5]]
    content = glb.bytes(scene=0, scenes=[{"nodes": [nodes[3], nodes[0], nodes[4]]}])
    assert read(content).vertices[::8, 0].tolist() == [4, 0, 2, 5, 1, 3]
    np.testing.assert_array_equal(read(content).vertices, by_trimesh(content)[0])


def test_nodes_must_be_a_tree():
    for nodes in ([{"children": [1]}, {"children": [0]}], [{"children": [1, 1]}, {}], [{"children": [0]}]):
        glb = Glb(nodes=[{"mesh": 0}, *[{} for _ in nodes[1:]]])
        glb.mesh(glb.primitive())
        for node, more in zip(glb.header["nodes"], nodes):
            node |= more
        refused(glb.bytes(scenes=[{"nodes": [0]}]), "is reached twice", "no tree")
    glb = Glb()
    glb.node(mesh=glb.mesh(glb.primitive()), children=[7])
    refused(glb.bytes(scenes=[{"nodes": [0]}]), "node 0 names node 7, but the file has 1 of them")


def test_a_hundred_thousand_nodes_one_below_the_other():
    glb = Glb()
    mesh = glb.mesh(glb.primitive())
    count = 100_000
    glb.header["nodes"] = [{"children": [row + 1], "translation": [1, 0, 0]} for row in range(count - 1)] + [
        {"mesh": mesh}
    ]
    raw = read(glb.bytes(scenes=[{"nodes": [0]}]))
    np.testing.assert_array_equal(raw.vertices, SQUARE + np.array([count - 1, 0, 0]))


def test_gpu_instances():
    glb = Glb()
    half = np.sqrt(0.5)
    turns = np.array([[0, 0, 0, 32767], [0, 0, half * 32767, half * 32767]]).round().astype("i2")
    attributes = {
        "TRANSLATION": glb.array(np.array([[1, 0, 0], [0, 5, 0]], "f4")),
        "ROTATION": glb.array(turns, normalized=True),
        "SCALE": glb.array(np.array([[1, 1, 1], [2, -1, 1]], "f4")),
        "_ID": glb.array(np.arange(2, dtype="f4")),
    }
    extension = {"EXT_mesh_gpu_instancing": {"attributes": attributes}}
    content = glb.simple(glb.primitive(), glb.primitive(SQUARE + 9), extensions=extension, translation=[0, 0, 7])
    raw = read(content.bytes(extensionsRequired=["EXT_mesh_gpu_instancing"]))
    both = np.concatenate([SQUARE, SQUARE + 9])
    second = [[y, 5 + 2 * x, z] for x, y, z in both]
    np.testing.assert_allclose(
        raw.vertices, np.concatenate([np.add(both, [1, 0, 0]), second]) + np.array([0, 0, 7]), atol=1e-4
    )
    assert faces(raw)[:2] == FACES
    assert faces(raw)[4:6] == [[10, 9, 8], [11, 10, 8]]
    content.header["accessors"][attributes["SCALE"]]["count"] = 1
    refused(content.bytes(), "have different counts, 2, 2, 1")


def test_growth_is_bounded():
    glb = Glb()
    instances = glb.accessor(componentType=5126, count=80_000, type="VEC3")
    extension = {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": instances}}}
    points = glb.accessor(componentType=5126, count=80_000, type="VEC3")
    content = glb.simple(glb.primitive(points), extensions=extension)
    refused(content.bytes(), "place 6400000000 vertices and 160000 triangles; 8388608 and")


def test_what_is_ignored_is_told():
    glb = Glb(animations=[{}], skins=[{"joints": [0]}])
    attributes = {"NORMAL": SQUARE, "COLOR_1": SQUARE, "TEXCOORD_1": CORNERS, "TEXCOORD_0": CORNERS, "_LABEL": CORNERS}
    glb.mesh(glb.primitive())
    glb.node(mesh=glb.mesh(glb.primitive(attributes=attributes | {"JOINTS_0": SQUARE})), skin=0)
    assert read(glb.bytes(scenes=[{"nodes": [0]}])).notes == [
        "warning: 1 of 2 meshes left out, no node of the scene has them",
        "warning: skins ignored, 1 part in the pose of the mesh itself",
        "1 animation ignored",
        "vertex attributes ignored: COLOR_1, TEXCOORD_1, _LABEL",
    ]


# Extensions


@pytest.mark.parametrize(
    "name", ["KHR_materials_unlit", "KHR_mesh_quantization", "KHR_texture_transform", "KHR_lights_punctual"]
)
def test_known_extensions_may_be_required(name):
    glb = Glb()
    content = glb.simple(glb.primitive()).bytes(extensionsUsed=[name, "VENDOR_new"], extensionsRequired=[name])
    np.testing.assert_array_equal(read(content).vertices, SQUARE)


def test_unknown_required_extensions_are_refused_by_name():
    glb = Glb()
    glb.simple(glb.primitive())
    required = ["KHR_materials_unlit", "VENDOR_new", "KHR_gaussian_splatting"]
    refused(
        glb.bytes(extensionsRequired=required), "extensions that are not read: 'VENDOR_new', 'KHR_gaussian_splatting'"
    )
    refused(glb.bytes(extensionsRequired=["bad \ud800\x1b[31m"]), "'bad \\ud800\\x1b[31m'")
    for name in ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression"):
        refused(glb.bytes(extensionsRequired=[name]), name)


def test_draco_with_and_without_a_fallback():
    packed = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}}
    glb = Glb()
    np.testing.assert_array_equal(read(glb.simple(glb.primitive(extensions=packed)).bytes()).vertices, SQUARE)
    del glb.header["accessors"][0]["bufferView"]
    refused(glb.bytes(extensionsUsed=list(packed)), "mesh 0, primitive 0 has Draco compression (KHR_draco")


@pytest.mark.parametrize("name", ["EXT_meshopt_compression", "KHR_meshopt_compression"])
def test_meshopt_with_and_without_a_fallback(name):
    glb = Glb()
    glb.simple(glb.primitive())
    glb.header["bufferViews"][0]["extensions"] = {name: {"buffer": 0, "byteLength": 8, "byteStride": 12, "count": 4}}
    np.testing.assert_array_equal(read(glb.bytes(extensionsUsed=[name])).vertices, SQUARE)
    stands_for = {"byteLength": len(glb.binary), "extensions": {name: {"fallback": True}}}
    refused(pack(glb.header | {"buffers": [stands_for]}, glb.binary), f"bufferView 0 has meshopt compression ({name})")
    glb.header["bufferViews"][0]["buffer"] = 1
    buffers = [{"byteLength": len(glb.binary)}, {"byteLength": len(glb.binary)}]
    refused(pack(glb.header | {"buffers": buffers}, glb.binary), f"bufferView 0 has meshopt compression ({name})")


# Colours


@pytest.mark.parametrize(("kind", "columns"), [(kind, columns) for kind in ("u1", "u2", "f4") for columns in (3, 4)])
@pytest.mark.parametrize("normalized", [True, False])
def test_vertex_colors_are_linear(kind, columns, normalized):
    glb = Glb()
    values = np.zeros((4, columns))
    values[:, :3] = [[0, 0, 1], [0.2158605, 1, 0], [0.5, 0, 0], [1, 1, 1]]
    largest = 1 if kind == "f4" else np.iinfo(kind).max
    stored = (values * largest).astype(kind) if kind == "f4" else np.rint(values * largest).astype(kind)
    flagged = {"normalized": normalized} if kind != "f4" else {}
    raw = read(glb.simple(glb.primitive(attributes={"COLOR_0": glb.array(stored, **flagged)})).bytes())
    assert raw.colors.dtype == np.uint8
    np.testing.assert_array_equal(raw.colors, [[0, 0, 255], [128, 255, 0], [188, 0, 0], [255, 255, 255]])


def test_vertex_colors_times_factor_times_texture():
    glb = Glb()
    colors = np.full((4, 4), [0.5, 1, 1, 0.1], "f4")
    material = glb.material([[[255, 128, 0]]], baseColorFactor=[1, 0.5, 1, 0.2])
    attributes = {"COLOR_0": colors, "TEXCOORD_0": INSIDE}
    raw = read(glb.simple(glb.primitive(attributes=attributes, material=material)).bytes())
    # 0.5 is sRGB 188; 128 is linear 0.21586, half of it is sRGB 92.4
    np.testing.assert_array_equal(raw.colors, [[188, 92, 0]] * 4)


def test_parts_without_a_colour_are_grey_where_another_has_one():
    glb = Glb()
    empty = glb.material()
    parts = [
        glb.primitive(),
        glb.primitive(attributes={"COLOR_0": np.ones((4, 3), "f4")}),
        glb.primitive(material=empty),
    ]
    assert np.unique(read(glb.simple(*parts).bytes()).colors[:, 0]).tolist() == [128, 255]
    np.testing.assert_array_equal(read(glb.bytes()).colors[::4, 0], [128, 255, 128])
    glb = Glb()
    assert read(glb.simple(glb.primitive(material=glb.material())).bytes()).colors is None


def test_colours_that_are_no_numbers_are_left_to_the_checks(tmp_path):
    glb = Glb()
    colors = np.array([[np.nan, 0, 0], [1, 0, 0], [2, -1, 0], [0, 0, 1]], "f4")
    (tmp_path / "a.glb").write_bytes(glb.simple(glb.primitive(attributes={"COLOR_0": colors})).bytes())
    with pytest.raises(MeshError, match="1 vertex with a negative or non-finite colour, the first is 0"):
        read_mesh(tmp_path / "a.glb")
    mesh = read_mesh(tmp_path / "a.glb", repair=True)
    np.testing.assert_array_equal(mesh.colors, [[128] * 3, RED, RED, BLUE])
    assert "warning: 1 vertex with a colour outside 0 to 1 in COLOR_0, cut to that range" in mesh.notes


def test_colours_of_another_count_are_refused():
    glb = Glb()
    refused(
        glb.simple(glb.primitive(attributes={"COLOR_0": SQUARE[:3]})).bytes(), "COLOR_0 has 3 values for 4 vertices"
    )


@pytest.mark.parametrize("generator", ["https://github.com/mikedh/trimesh", "Open3D", "Open3d 0.19"])
def test_generators_that_write_the_colours_of_the_display(generator):
    glb = Glb()
    colors = np.arange(16, dtype="u1").reshape(4, 4) * 16
    coat = glb.material(baseColorFactor=[0.2, 0.4, 0.6, 1])
    painted = glb.material([[[100, 100, 100]]], baseColorFactor=[0.5, 0.5, 0.5, 1])
    parts = [
        glb.primitive(attributes={"COLOR_0": glb.array(colors, normalized=True)}),
        glb.primitive(material=coat),
        glb.primitive(material=painted, attributes={"TEXCOORD_0": INSIDE}),
    ]
    raw = read(glb.simple(*parts).bytes(asset={"version": "2.0", "generator": generator}))
    np.testing.assert_array_equal(raw.colors[:4], colors[:, :3])
    np.testing.assert_array_equal(raw.colors[4:8], [[51, 102, 153]] * 4)
    np.testing.assert_array_equal(raw.colors[8:], [[71, 71, 71]] * 4)  # half of linear 0.12744
    assert raw.notes == [f"colours taken as sRGB, as '{generator}' writes them, not as linear"]


# Textures


def textured(texture: dict | None = None, attributes: dict | None = None, pixels=FOUR, **changes) -> RawMesh:
    glb = Glb()
    material = glb.material(pixels, texture)
    return read(
        glb.simple(glb.primitive(attributes=attributes or {"TEXCOORD_0": INSIDE}, material=material)).bytes(**changes)
    )


def transform(**fields) -> dict:
    return {"extensions": {"KHR_texture_transform": fields}}


def test_v_goes_downwards_and_the_edges_are_part_of_the_texture():
    np.testing.assert_array_equal(textured().colors, [RED, GREEN, WHITE, BLUE])
    np.testing.assert_array_equal(textured(attributes={"TEXCOORD_0": CORNERS}).colors, [RED, GREEN, WHITE, BLUE])


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_texture_coordinates_as_normalised_integers(kind):
    glb = Glb()
    places = glb.array(np.rint(INSIDE * np.iinfo(kind).max).astype(kind), normalized=True)
    raw = read(glb.simple(glb.primitive(attributes={"TEXCOORD_0": places}, material=glb.material(FOUR))).bytes())
    np.testing.assert_array_equal(raw.colors, [RED, GREEN, WHITE, BLUE])


@pytest.mark.parametrize(
    ("texture", "expected"),
    [
        ({"texCoord": 1}, [WHITE, BLUE, RED, GREEN]),
        (transform(texCoord=1), [WHITE, BLUE, RED, GREEN]),
        ({"texCoord": 1} | transform(texCoord=0), [RED, GREEN, WHITE, BLUE]),
        (transform(offset=[0.5, 0]), [GREEN, RED, BLUE, WHITE]),
        (transform(scale=[1, -1], offset=[0, 1]), [BLUE, WHITE, GREEN, RED]),
        (transform(scale=[0.4, 0.4]), [RED, RED, RED, RED]),
        # The lower left quarter, turned: (u, v) -> (v / 2, 1 - u / 2), the example of the extension's text.
        (transform(offset=[0, 1], rotation=np.pi / 2, scale=[0.5, 0.5]), [BLUE, BLUE, BLUE, BLUE]),
        (transform(offset=[0, 1], rotation=np.pi / 2), [BLUE, RED, GREEN, WHITE]),
        # Scaled before it is turned: (u, v) -> (v, 1 - u / 5), so the lower half.
        (transform(offset=[0, 1], rotation=np.pi / 2, scale=[0.2, 1]), [BLUE, BLUE, WHITE, WHITE]),
    ],
)
def test_sets_and_transforms_of_texture_coordinates(texture, expected):
    raw = textured(texture, {"TEXCOORD_0": INSIDE, "TEXCOORD_1": INSIDE[[2, 3, 0, 1]]})
    np.testing.assert_array_equal(raw.colors, expected)


@pytest.mark.parametrize(
    ("code", "expected"), [(None, [GREEN, RED]), (10497, [GREEN, RED]), (33071, [RED, GREEN]), (33648, [RED, GREEN])]
)
def test_samplers_wrap(code, expected):
    glb = Glb(samplers=[{} if code is None else {"wrapS": code, "wrapT": 33071}])
    places = np.array([[-0.25, 0], [1.25, 0], [-0.25, 0]], "f4")
    part = glb.primitive(SQUARE[:3], None, {"TEXCOORD_0": places}, material=glb.material([[RED, GREEN]]))
    glb.header["textures"][0]["sampler"] = 0
    np.testing.assert_array_equal(read(glb.simple(part).bytes()).colors[:2], expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_images_of_several_formats_and_in_data_uris(kind):
    content = png(np.full((16, 16, 3), [200, 100, 50]), kind)
    glb = Glb()
    extension = {"WEBP": "EXT_texture_webp", "AVIF": "EXT_texture_avif"}.get(kind)
    uri = f"data:image/{kind.lower()};base64,{base64.b64encode(content).decode()}"
    material = glb.material(image={"uri": uri})
    if extension:
        glb.header["textures"][0] = {"extensions": {extension: {"source": 0}}}
    required = [extension] if extension else []
    content = glb.simple(glb.primitive(attributes={"TEXCOORD_0": INSIDE}, material=material))
    raw = read(content.bytes(extensionsRequired=required))
    np.testing.assert_allclose(raw.colors, [[200, 100, 50]] * 4, atol=4)


def test_an_extension_s_image_that_cannot_be_read_falls_back_to_the_ordinary_one():
    glb = Glb()
    material = glb.material(FOUR)
    glb.header["images"].append({"bufferView": glb.view(b"RIFFxxxxWEBPVP8 damaged")})
    glb.simple(glb.primitive(attributes={"TEXCOORD_0": INSIDE}, material=material))
    for name in ("EXT_texture_webp", "KHR_texture_basisu"):
        glb.header["textures"][0]["extensions"] = {name: {"source": 1}}
        raw = read(glb.bytes())
        np.testing.assert_array_equal(raw.colors, [RED, GREEN, WHITE, BLUE])
        assert raw.notes == []


def test_deep_grey_textures():
    glb = Glb()
    material = glb.material(image={"bufferView": glb.view(png([[0, 257 * 90]], dtype=np.uint16))})
    raw = read(glb.simple(glb.primitive(attributes={"TEXCOORD_0": INSIDE}, material=material)).bytes())
    np.testing.assert_array_equal(raw.colors[:, 0], [0, 90, 90, 0])


def damaged_textures() -> dict:
    whole = png(FOUR)
    return {
        "cut": ({"image": whole[:50]}, "image 0 is damaged"),
        "other": ({"image": b"no image at all"}, "image 0 of type 'image/png' is no image of PNG, JPEG"),
        "file": ({"images": [{"uri": "skin.png"}]}, "image 0 lies in another file, 'skin.png'"),
        "missing": ({"images": []}, "names image 0, but the file has 0 of them"),
        "textures": ({"textures": []}, "names texture 0, but the file has 0 of them"),
        "ktx": (
            {"textures": [{"extensions": {"KHR_texture_basisu": {"source": 0}}}]},
            "KHR_texture_basisu, which is not",
        ),
        "none": ({"textures": [{}]}, "texture 0 has no image in a format that is read"),
        "view": ({"images": [{"bufferView": 99}]}, "names bufferView 99"),
        "bomb": ({"image": bomb(20_000, 20_000)}, "image 0"),
    }


def bomb(width: int, height: int) -> bytes:
    """A PNG that declares these many pixels in its header alone."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("name", damaged_textures())
def test_a_texture_that_cannot_be_used_leaves_the_factor(name):
    changes, words = damaged_textures()[name]
    changes = dict(changes)
    glb = Glb()
    content = changes.pop("image", png(FOUR))
    image = {"bufferView": glb.view(content), "mimeType": "image/png"}
    material = glb.material(image=image, baseColorFactor=[1, 0, 0, 1])
    glb.simple(*[glb.primitive(attributes={"TEXCOORD_0": INSIDE}, material=material) for _ in range(2)])
    raw = read(glb.bytes(**changes))
    np.testing.assert_array_equal(raw.colors, [RED] * 8)
    assert len(raw.notes) == 1
    assert raw.notes[0].startswith("warning: a texture is not used, ")
    assert words in raw.notes[0]


def test_a_texture_without_its_coordinates_or_of_too_many_pixels():
    raw = textured({"texCoord": 3})
    assert raw.colors is None
    assert "warning: a texture is not used, mesh 0, primitive 0 has no TEXCOORD_3" in raw.notes
    glb = Glb()
    material = glb.material(image={"bufferView": glb.view(bomb(9000, 9000))})
    raw = read(glb.simple(glb.primitive(attributes={"TEXCOORD_0": INSIDE}, material=material)).bytes())
    assert raw.notes == ["warning: a texture is not used, image 0 declares 9000 x 9000 pixels, too many"]


def test_an_emissive_texture_is_told():
    glb = Glb()
    material = glb.material(FOUR)
    texture = glb.header["materials"][0]["pbrMetallicRoughness"].pop("baseColorTexture")
    glb.header["materials"][0]["emissiveTexture"] = texture
    raw = read(glb.simple(glb.primitive(attributes={"TEXCOORD_0": INSIDE}, material=material)).bytes())
    assert raw.colors is None
    assert raw.notes == ["warning: a texture is not used, it is emissive, no base colour"]


def test_specular_glossiness():
    glb = Glb()
    material = glb.material(FOUR, baseColorFactor=[0, 0, 0, 1])
    texture = glb.header["materials"][0]["pbrMetallicRoughness"].pop("baseColorTexture")
    diffuse = {"diffuseTexture": texture, "diffuseFactor": [1, 1, 0, 1]}
    glb.header["materials"][0]["extensions"] = {"KHR_materials_pbrSpecularGlossiness": diffuse}
    content = glb.simple(glb.primitive(attributes={"TEXCOORD_0": INSIDE}, material=material))
    raw = read(content.bytes(extensionsRequired=["KHR_materials_pbrSpecularGlossiness"]))
    np.testing.assert_array_equal(raw.colors, [RED, GREEN, [255, 255, 0], [0, 0, 0]])
    glb.header["materials"][0]["extensions"] = {"KHR_materials_pbrSpecularGlossiness": {"glossinessFactor": 0.5}}
    np.testing.assert_array_equal(read(glb.bytes()).colors, [[0, 0, 0]] * 4)


# The cases of public reports


def case(name: str):
    return read_mesh(CASES / f"{name}.glb", units="none")


def test_cases_of_geometry():
    assert np.ptp(case("glb_quant_norm_i16").vertices, axis=0)[:2].tolist() == [1, 1]
    sparse = case("glb_sparse").vertices
    assert sparse.min(axis=0).tolist() == [-1, -1, 0]
    assert sparse.max(axis=0)[:2].tolist() == [2, 2]
    instances = case("glb_gpu_instancing")
    assert (len(instances.vertices), len(instances.faces)) == (625, 800)
    np.testing.assert_allclose(np.ptp(instances.vertices, axis=0)[:2], 2)
    assert len(case("glb_fan").faces) == 8


@pytest.mark.parametrize(
    ("name", "words"),
    [("glb_meshopt", "EXT_meshopt_compression"), ("glb_lines", "1 part of lines"), ("glb_points", "1 part of points")],
)
def test_cases_that_are_refused_by_name(name, words):
    with pytest.raises(MeshError, match=words):
        case(name)


def test_cases_of_colours():
    red, green = [200, 30, 30], [30, 200, 30]
    np.testing.assert_array_equal(case("glb_tex_uv1").colors, ([red] * 2 + [green] * 3) * 5)
    np.testing.assert_array_equal(case("glb_tex_transform").colors, ([green] * 3 + [red, green]) * 5)
    # Half of the light of 200 (linear 0.5776) is sRGB 146, of 30 (0.0130) it is 19.
    np.testing.assert_array_equal(np.unique(case("glb_tex_factor").colors), [19, 146])
    np.testing.assert_array_equal(case("glb_vc_linear_half_grey").colors, [[128] * 3] * 25)
    colors = case("glb_vc_material").colors
    assert colors[0].tolist() == [0, 255, 110]  # bytes 0 255 40, linear by the standard
    assert colors[24].tolist() == [248, 69, 110]


# trimesh's reader, on what it reads by the standard


def by_trimesh(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and corners of all nodes, in trimesh's order."""
    scene = trimesh.load_scene(trimesh.util.wrap_as_stream(content), file_type="glb", process=False)
    parts = []
    for node in scene.graph.nodes_geometry:
        matrix, name = scene.graph[node]
        parts.append(scene.geometry[name].copy().apply_transform(matrix))
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    corners = [part.faces.ravel() + start for part, start in zip(parts, starts)]
    return np.concatenate([part.vertices for part in parts]), np.concatenate(corners)


@pytest.mark.parametrize("seed", range(8))
def test_random_scenes_as_trimesh_reads_them(seed):
    rng = np.random.default_rng(seed)
    scene, names = trimesh.Scene(), [None]
    shapes = [trimesh.creation.icosphere(1), trimesh.creation.box(), trimesh.creation.cylinder(1, 2)]
    for number in range(int(rng.integers(1, 9))):
        body = shapes[rng.integers(3)].copy()
        body.visual = trimesh.visual.ColorVisuals(body, vertex_colors=rng.integers(0, 256, (len(body.vertices), 4)))
        matrix = trimesh.transformations.random_rotation_matrix(rng.random(3))
        matrix[:3, :3] *= rng.uniform(0.5, 2) * rng.choice([-1, 1])
        matrix[:3, 3] = rng.normal(size=3)
        parent = names[rng.integers(len(names))]
        names.append(scene.add_geometry(body, node_name=f"n{number}", parent_node_name=parent, transform=matrix))
    content = scene.export(file_type="glb")
    raw, (vertices, corners) = read(content), by_trimesh(content)
    np.testing.assert_allclose(raw.vertices, vertices, atol=1e-6)
    np.testing.assert_array_equal(raw.corners, corners)
    loaded = trimesh.load_scene(trimesh.util.wrap_as_stream(content), file_type="glb", process=False)
    order = [loaded.graph[node][1] for node in loaded.graph.nodes_geometry]
    expected = np.concatenate([loaded.geometry[name].visual.vertex_colors[:, :3] for name in order])
    np.testing.assert_array_equal(raw.colors, expected)


# Damaged files


def rich() -> Glb:
    """A file with most features."""
    glb = Glb(
        samplers=[{"wrapS": 33071}], animations=[{}], skins=[{"joints": [0]}], extensionsUsed=["KHR_texture_transform"]
    )
    texture = {"texCoord": 1} | transform(offset=[0.1, 0.2], rotation=0.3, scale=[2, 3])
    material = glb.material(FOUR, texture, baseColorFactor=[0.5, 1, 1, 1])
    glb.header["textures"][0]["sampler"] = 0
    colors = glb.array(np.full((4, 4), 200, "u1"), normalized=True)
    attributes = {"COLOR_0": colors, "TEXCOORD_1": CORNERS}
    position = glb.array(SQUARE, sparse=sparse_of(glb, [1, 2], 2))
    targets = [{"POSITION": glb.array(SQUARE)}]
    first = glb.primitive(position, attributes=attributes, material=material, targets=targets)
    mesh = glb.mesh(first, glb.primitive(mode=5, rows=None), glb.primitive(mode=1), weights=[0.5])
    instances = {"TRANSLATION": glb.array(SQUARE), "SCALE": glb.array(SQUARE + 1)}
    glb.node(mesh=mesh, extensions={"EXT_mesh_gpu_instancing": {"attributes": instances}}, scale=[1, 2, -1])
    glb.node(mesh=mesh, matrix=np.eye(4).ravel().tolist(), children=[0], skin=0, weights=[1])
    glb.header |= {"scenes": [{"nodes": [1]}], "scene": 0}
    return glb


VALUES = (
    None,
    True,
    -1,
    0,
    1,
    2,
    3,
    1e9,
    2**31,
    2**53,
    2**70,
    1e308,
    0.5,
    float("nan"),
    "",
    "x",
    [],
    [0],
    [[]],
    {},
    {"a": 1},
)


def places(value, path=()):
    """Paths of all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def with_other_json(rng: np.random.Generator) -> bytes:
    """The rich file with some JSON values replaced, removed or copied from elsewhere."""
    glb = rich()
    header = json.loads(json.dumps(glb.header | {"buffers": [{"byteLength": len(glb.binary)}]}))
    for _ in range(rng.integers(1, 4)):
        paths = list(places(header))
        path, source = paths[rng.integers(len(paths))], paths[rng.integers(len(paths))]
        holder, other = header, header
        for key in path[:-1]:
            holder = holder[key]
        for key in source:
            other = other[key]
        choice = rng.integers(4)
        if choice == 0:
            del holder[path[-1]]
        else:
            chosen = VALUES[rng.integers(len(VALUES))] if choice < 3 else json.loads(json.dumps(other))
            holder[path[-1]] = chosen
    return pack(header, glb.binary)


def with_other_bytes(rng: np.random.Generator) -> bytes:
    """The rich file with bytes flipped, cut out or put in."""
    content = bytearray(rich().bytes())
    for _ in range(rng.integers(1, 6)):
        place = int(rng.integers(len(content)))
        content[place : place + int(rng.integers(3))] = rng.bytes(int(rng.integers(3)))
    return bytes(content)


def test_the_rich_file_is_read():
    raw = read(rich().bytes())
    assert len(raw.vertices) == 40
    assert raw.colors.shape == (40, 3)


def outcome(content: bytes) -> str:
    """ "refused", "read", or what is wrong with the refusal or the mesh."""
    try:
        raw = read(content)
    except MeshError as error:
        return "refused" if error.remedy.endswith(".") and str(error).isprintable() else f"unclear: {error}"
    inside = not len(raw.corners) or 0 <= raw.corners.min() <= raw.corners.max() < len(raw.vertices)
    fits = raw.vertices.shape == (len(raw.vertices), 3) and len(raw.corners) == 3 * len(raw.counts)
    colored = raw.colors is None or raw.colors.shape == raw.vertices.shape
    told = all(note.isprintable() for note in raw.notes)
    return "read" if inside and fits and colored and told else "an impossible mesh"


@pytest.mark.parametrize("damage", [with_other_json, with_other_bytes])
def test_damaged_files_are_refused_or_read_in_little_memory(damage):
    files = [damage(np.random.default_rng(seed)) for seed in range(1000)]
    tracemalloc.start()
    outcomes = collections.Counter(map(outcome, files))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24
    assert set(outcomes) == {"read", "refused"}
    assert min(outcomes.values()) > 20
