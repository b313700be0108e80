"""GLB files: the container, extensions, cases of public reports, and trimesh's reader as a second opinion."""

import base64
import json
import pathlib
import struct

import numpy as np
import pytest
import trimesh

from preprocess.formats.readers import read_mesh
from preprocess.mesh.mesh import MeshError
from tests.preprocess.formats.glb_builder import FACES, SQUARE, Glb, by_trimesh, faces, pack, read, refused

CASES = pathlib.Path(__file__).parents[2] / "data" / "cases"


def test_a_square():
    glb = Glb()
    raw = read(glb.simple(glb.primitive()).bytes())
    np.testing.assert_array_equal(raw.vertices, SQUARE)
    assert faces(raw) == FACES
    assert raw.colors is None
    assert raw.notes == []


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
    refused(pack(b"[1]"), "not an object")
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
        refused(pack(glb.header | {"buffers": [entry | {"uri": other}]}, None), "buffer 0 is in another file", other)
    refused(pack(glb.header | {"buffers": [entry | {"uri": uri[:-9]}]}, None), "buffer 0 declares")
    refused(pack(glb.header | {"buffers": [entry | {"uri": "data:;base64"}]}, None), "without data")


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
