"""Binary glTF 2.0, by way of trimesh."""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
import trimesh

from preprocess.mesh import MeshError, RawMesh

_EXPORT_AGAIN = "Export it again, or convert it to PLY."
_GREY = 128
_TRIMESH_ERRORS = (ValueError, LookupError, TypeError, AttributeError, NameError, AssertionError, NotImplementedError)
_TRIMESH_ERRORS += (ArithmeticError, RecursionError, EOFError, SyntaxError, OSError, struct.error, zlib.error)
"""What trimesh, and Pillow for the textures, raise on damaged files."""
_ITEM_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_ITEMS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
"""Of an accessor, by its componentType and type (glTF 2.0, section 3.6.2.2)."""


def read_glb(path: pathlib.Path, content: bytes) -> RawMesh:
    """The triangle meshes of all nodes, node transforms applied, in the order of the scene graph.

    A vertex has the colour of the base texture at its place, else its own, else that of the material; parts without
    any are grey if another part has one. Raises MeshError.
    """
    if content[:4] != b"glTF" or len(content) < 20:
        raise MeshError(path, f"not a GLB: begins with {content[:40].decode('latin-1')!r}", _EXPORT_AGAIN)
    length, json_length = int.from_bytes(content[8:12], "little"), int.from_bytes(content[12:16], "little")
    if max(length, json_length + 20) > len(content):
        cause = f"the header declares {max(length, json_length + 20)} bytes, the file has {len(content)}"
        raise MeshError(path, cause, "The file was cut off; copy it again.")
    try:
        _check_header(json.loads(content[20 : 20 + json_length]), len(content))
        with np.errstate(all="ignore"):
            return _joined(trimesh.load_scene(io.BytesIO(content), file_type="glb", process=False))
    except _TRIMESH_ERRORS as error:
        raise MeshError(path, f"not a readable GLB ({type(error).__name__}: {error})", _EXPORT_AGAIN) from None


def _check_header(header: dict, size: int) -> None:
    """Raises ValueError for parts in other files and for accessors that are larger than the file of `size` bytes."""
    if "KHR_draco_mesh_compression" in header.get("extensionsRequired", []):
        raise NotImplementedError("Draco compression is not read")
    for number, part in enumerate(header.get("buffers", [])):
        if not part.get("uri", "data:").startswith("data:"):
            raise ValueError(f"buffer {number} lies in another file, {part['uri'][:80]!r}")
    for number, part in enumerate(header.get("accessors", [])):
        needed = part["count"] * _ITEM_BYTES[part["componentType"]] * _ITEMS[part["type"]]
        if not 0 <= needed <= size:
            raise ValueError(f"accessor {number} declares {needed} bytes, the file has {size}")


def _joined(scene: trimesh.Scene) -> RawMesh:
    """All triangle meshes of a scene in one."""
    parts = []
    for node in scene.graph.nodes_geometry:
        transform, name = scene.graph[node]
        mesh = scene.geometry[name]
        if not isinstance(mesh, trimesh.Trimesh):
            continue
        if mesh.vertices.shape[1:] != (3,) or mesh.faces.shape[1:] != (3,):
            raise ValueError(f"mesh {name} has vertices {mesh.vertices.shape} and faces {mesh.faces.shape}")
        parts.append(mesh.copy().apply_transform(transform))
    if not parts:
        return RawMesh(np.zeros((0, 3)), np.zeros(0, np.int64), np.zeros(0, np.int64))
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    vertices = np.concatenate([np.asarray(part.vertices, np.float64) for part in parts])
    corners = np.concatenate([np.asarray(part.faces, np.int64).ravel() + start for part, start in zip(parts, starts)])
    colors = [_vertex_colors(part) for part in parts]
    joined = None
    if any(color is not None for color in colors):
        grey = [np.full(part.vertices.shape, _GREY, np.uint8) if c is None else c for part, c in zip(parts, colors)]
        joined = np.concatenate(grey)
    return RawMesh(vertices, corners, np.full(len(corners) // 3, 3, np.int64), joined)


def _vertex_colors(mesh: trimesh.Trimesh) -> np.ndarray | None:
    """uint8 [V, 3], or None."""
    visual = mesh.visual
    if visual.kind == "vertex":
        rgba = visual.vertex_colors
    elif visual.kind != "texture":
        return None
    elif visual.uv is not None and getattr(visual.material, "baseColorTexture", None) is not None:
        rgba = visual.to_color().vertex_colors
    elif "color" in visual.vertex_attributes:
        rgba = trimesh.visual.color.to_rgba(visual.vertex_attributes["color"])
    elif getattr(visual.material, "baseColorFactor", None) is not None:
        rgba = np.tile(visual.material.main_color, (len(mesh.vertices), 1))
    else:
        return None
    return np.asarray(rgba, np.uint8)[:, :3]
