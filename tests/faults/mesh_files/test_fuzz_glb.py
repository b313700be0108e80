"""Damaged GLB files: each is refused clearly or read as a possible mesh, in little memory."""

import collections
import json
import tracemalloc

import numpy as np
import pytest

from preprocess.mesh.mesh import MeshError
from tests.preprocess.formats.glb_builder import CORNERS, FOUR, SQUARE, Glb, pack, read, sparse_of, transform


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
    float("inf"),
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
