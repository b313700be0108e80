"""Small GLB files for tests, and what is read of them."""

import io
import json
import pathlib
import struct

import numpy as np
import pytest
import trimesh
from PIL import Image

from preprocess.formats.gltf.glb import read_glb
from preprocess.mesh.mesh import MeshError, RawMesh

CODES = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}
SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], "f4")
TRIANGLES = np.array([0, 1, 2, 0, 2, 3], "u2")
FACES = [[0, 1, 2], [0, 2, 3]]
RED, GREEN, BLUE, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]
FOUR = [[RED, GREEN], [BLUE, WHITE]]
CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], "f4")
INSIDE = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]], "f4")


def pack(header: dict | bytes, binary: bytes | None = b"", version: int = 2, extra: bytes = b"") -> bytes:
    """A GLB of a JSON part and a BIN chunk (None: no such chunk); `extra` are chunks between them."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + extra
    if binary is not None:
        binary += bytes(-len(binary) % 4)
        chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", version, 12 + len(chunks)) + chunks


def png(pixels, kind: str = "PNG", dtype=np.uint8) -> bytes:
    """An image file of rows of pixels."""
    stream, image = io.BytesIO(), Image.fromarray(np.array(pixels, dtype))
    image.save(stream, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return stream.getvalue()


class Glb:
    """A file that grows: each method returns the number of what it adds."""

    def __init__(self, **header):
        self.binary = b""
        self.header = {"asset": {"version": "2.0"}} | header

    def _add(self, kind: str, entry: dict) -> int:
        self.header.setdefault(kind, []).append(entry)
        return len(self.header[kind]) - 1

    def view(self, content: bytes, **fields) -> int:
        self.binary += bytes(-len(self.binary) % 4)
        start, self.binary = len(self.binary), self.binary + content
        return self._add("bufferViews", {"buffer": 0, "byteOffset": start, "byteLength": len(content)} | fields)

    def array(self, values, **fields) -> int:
        """An accessor of an array [N] or [N, components] of a type in CODES."""
        values = np.asarray(values)
        columns = values.reshape(len(values), -1)
        entry = {"componentType": CODES[values.dtype.str[1:]], "count": len(values), "type": KINDS[columns.shape[1]]}
        return self._add("accessors", entry | {"bufferView": self.view(columns.tobytes())} | fields)

    def accessor(self, **fields) -> int:
        return self._add("accessors", fields)

    def material(self, pixels=None, texture: dict | None = None, image: dict | None = None, **base) -> int:
        """A material with `base` in pbrMetallicRoughness, and a texture of these pixels."""
        if pixels is not None:
            image = image or {"bufferView": self.view(png(pixels)), "mimeType": "image/png"}
        if image is not None:
            source = self._add("images", image)
            base["baseColorTexture"] = {"index": self._add("textures", {"source": source})} | (texture or {})
        return self._add("materials", {"pbrMetallicRoughness": base})

    def primitive(self, points=SQUARE, rows=TRIANGLES, attributes: dict | None = None, **fields) -> dict:
        """Of `points` (an array or an accessor's number), `rows` (None: no indices) and further attributes."""
        position = points if isinstance(points, int) else self.array(points)
        given = {"POSITION": position} | (attributes or {})
        named = {name: value if isinstance(value, int) else self.array(value) for name, value in given.items()}
        entry = {"attributes": named} | fields
        return entry if rows is None else entry | {"indices": rows if isinstance(rows, int) else self.array(rows)}

    def mesh(self, *primitives: dict, **fields) -> int:
        return self._add("meshes", {"primitives": list(primitives)} | fields)

    def node(self, **fields) -> int:
        return self._add("nodes", fields)

    def simple(self, *primitives: dict, **fields) -> "Glb":
        """One node with one mesh of these primitives, as the scene."""
        self.header |= {"scene": 0, "scenes": [{"nodes": [self.node(mesh=self.mesh(*primitives), **fields)]}]}
        return self

    def bytes(self, **changes) -> bytes:
        header = {"buffers": [{"byteLength": len(self.binary)}]} if self.binary else {}
        return pack(header | self.header | changes, self.binary)


def sparse_of(glb: Glb, rows, count: int) -> dict:
    """Zeros for the rows of an accessor of vectors."""
    indices = {"bufferView": glb.view(np.array(rows, "u2").tobytes()), "componentType": 5123}
    return {"count": count, "indices": indices, "values": {"bufferView": glb.view(bytes(12 * len(rows)))}}


def transform(**fields) -> dict:
    """The extension of a texture reference."""
    return {"extensions": {"KHR_texture_transform": fields}}


def read(content: bytes) -> RawMesh:
    return read_glb(pathlib.Path("a.glb"), content)


def faces(raw: RawMesh) -> list:
    """Triangles of three vertices each."""
    return raw.corners.reshape(-1, 3).tolist()


def refused(content: bytes, *words: str) -> None:
    """A MeshError with all these words in its cause."""
    with pytest.raises(MeshError) as error:
        read(content)
    assert error.value.file == "a.glb"
    assert error.value.remedy.endswith(".")
    for word in words:
        assert word in error.value.cause


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
