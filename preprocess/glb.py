"""Binary glTF 2.0: the triangles of all nodes in one mesh, read by the standard (Khronos, glTF 2.0 specification)."""

import collections
import json
import pathlib
from dataclasses import dataclass

import numpy as np

from preprocess.gltf_accessors import COMPRESSIONS, WITHOUT_COMPRESSION, Accessors
from preprocess.gltf_json import EXPORT_AGAIN, Document, Entry, GltfError, quoted
from preprocess.gltf_materials import Painter
from preprocess.gltf_scene import Placement, placements
from preprocess.mesh import MeshError, RawMesh, counted

_GREY = 128
_JSON, _BINARY = b"JSON", b"BIN\0"
_CUT_OFF = "The file was cut off; copy it again."
_READ = {
    "EXT_mesh_gpu_instancing", "EXT_texture_avif", "EXT_texture_webp", "KHR_materials_pbrSpecularGlossiness",
    "KHR_materials_unlit", "KHR_mesh_quantization", "KHR_texture_basisu", "KHR_texture_transform", "MSFT_texture_dds",
}  # fmt: skip
"""Extensions that change where vertices are or which base colour they have, and are followed."""
_WITHOUT_EFFECT = {
    "EXT_lights_ies", "EXT_lights_image_based", "EXT_mesh_features", "EXT_structural_metadata", "EXT_instance_features",
    "KHR_animation_pointer", "KHR_lights_punctual", "KHR_materials_anisotropy", "KHR_materials_clearcoat",
    "KHR_materials_diffuse_transmission", "KHR_materials_dispersion", "KHR_materials_emissive_strength",
    "KHR_materials_ior", "KHR_materials_iridescence", "KHR_materials_sheen", "KHR_materials_specular",
    "KHR_materials_transmission", "KHR_materials_variants", "KHR_materials_volume", "KHR_xmp_json_ld", "MSFT_lod",
}  # fmt: skip
"""Extensions that may be required and change neither."""
_ATTRIBUTES = {"POSITION", "NORMAL", "TANGENT", "COLOR_0", "TEXCOORD_0"}
_DRACO = "KHR_draco_mesh_compression"
_TRIANGLES, _FAN = 4, 6
"""Values of `mode`; below are points and lines, between them is the strip (glTF 2.0, 5.24)."""
_SHOWN = 12
_MOST_VERTICES, _MOST_CORNERS = 2**23, 2**25
"""What a file may grow to by copies of its meshes; a file that stores more without copies may have what it stores."""


def read_glb(path: pathlib.Path, content: bytes) -> RawMesh:
    """The triangles of all nodes of the default scene, node transforms applied.

    The vertices come node by node in the order of `gltf_scene.placements`, copy by copy where a node is instanced, then
    primitive by primitive: all vertices of each primitive's POSITION, in their order. Parts without a colour are grey if
    another part has one. Raises MeshError.
    """
    if content[:4] != b"glTF" or len(content) < 20:
        raise MeshError(path, f"not a GLB: begins with {content[:40].decode('latin-1')!r}", EXPORT_AGAIN)
    try:
        with np.errstate(all="ignore"):
            return _read(content)
    except GltfError as error:
        raise MeshError(path, error.cause, error.remedy) from None


def _read(content: bytes) -> RawMesh:
    notes: list[str] = []
    document = Document(_json_part(content))
    _check_requirements(document.root)
    accessors = Accessors(document, _binary_part(content, notes), len(content))
    placed = placements(document, accessors, notes)
    left_out: collections.Counter[str] = collections.Counter()
    meshes = {
        number: _primitives(document, accessors, number, left_out) for number in {part.mesh: 0 for part in placed}
    }
    if not any(meshes.values()):
        raise GltfError(*_no_triangles(left_out))
    _check_growth(placed, meshes, len(content))
    painter = Painter(document, accessors)
    colors = _mesh_colors(painter, meshes)
    vertices, corners = _placed(document, accessors, placed, meshes)
    counts = np.full(len(corners) // 3, 3, np.int64)
    notes += [f"warning: {counted(number, 'part')} {what} left out" for what, number in left_out.items()]
    notes += painter.notes() + _attribute_notes(meshes, painter)
    copies = [(colors[part.mesh], len(part.matrices) * _vertex_count(meshes[part.mesh])) for part in placed]
    return RawMesh(vertices, corners, counts, _joined_colors(copies), notes=notes)


def _json_part(content: bytes) -> dict:
    """The object in the first chunk. Raises GltfError for other versions, files that were cut off and damaged JSON."""
    version, length, json_length = (int.from_bytes(content[at : at + 4], "little") for at in (4, 8, 12))
    if version != 2:
        names = f" (glTF {version}.0)" if version == 1 else ""
        raise GltfError(f"a GLB of version {version}{names}; version 2 is read", "Convert it to glTF 2.0.")
    if max(length, json_length + 20) > len(content):
        cause = f"the header declares {max(length, json_length + 20)} bytes, the file has {len(content)}"
        raise GltfError(cause, _CUT_OFF)
    if content[16:20] != _JSON:
        raise GltfError(f"its first chunk is {quoted(content[16:20].decode('latin-1'))}, not JSON")
    try:
        root = json.loads(content[20 : 20 + json_length].rstrip(b"\0 \t\r\n"))
    except RecursionError:
        raise GltfError("not a readable GLB (RecursionError: its JSON is nested too deeply)") from None
    except ValueError as error:
        raise GltfError(f"not a readable GLB ({type(error).__name__}: {str(error)[:200]})") from None
    if not isinstance(root, dict):
        raise GltfError("not a readable GLB (its JSON is no object)")
    return root


def _binary_part(content: bytes, notes: list[str]) -> memoryview | None:
    """The first BIN chunk, None without one; other chunks are skipped."""
    length, start = int.from_bytes(content[8:12], "little"), 20 + int.from_bytes(content[12:16], "little")
    if len(content) > max(length, start):
        rest = len(content) - max(length, start)
        notes.append(f"warning: {counted(rest, 'byte')} after the end that the header declares, not read")
    while start + 8 <= length:
        end = start + 8 + int.from_bytes(content[start : start + 4], "little")
        if end > length:
            raise GltfError(f"a chunk ends at byte {end}, the header declares {length}", _CUT_OFF)
        if content[start + 4 : start + 8] == _BINARY:
            return memoryview(content)[start + 8 : end]
        start = end
    return None


def _check_requirements(root: Entry) -> None:
    """Raises GltfError for another version of glTF and for required extensions that are not followed, by name."""
    asset = root.entry("asset")
    version = asset.text("minVersion", asset.text("version", "2.0"))
    if version.split(".")[0] != "2" or ("minVersion" in asset and version != "2.0"):
        raise GltfError(f"it is of glTF {quoted(version, 20)}; 2.0 is read", "Export it as glTF 2.0.")
    required = root.texts("extensionsRequired")
    for name in required:
        if name in COMPRESSIONS:
            raise GltfError(f"{COMPRESSIONS[name]} ({name}) is not read", WITHOUT_COMPRESSION)
    unknown = [quoted(name, 60) for name in required if name not in _READ | _WITHOUT_EFFECT]
    if unknown:
        listed = ", ".join(unknown[:_SHOWN]) + (" ..." if len(unknown) > _SHOWN else "")
        raise GltfError(
            f"it requires what is not read: {listed}", "Export it again without this, or convert it to PLY."
        )


@dataclass(frozen=True)
class _Primitive:
    """Triangles of a mesh: the object, its number of vertices, and three corners for each triangle."""

    entry: Entry
    vertices: int
    corners: int


def _primitives(
    document: Document, accessors: Accessors, number: int, left_out: collections.Counter[str]
) -> list[_Primitive]:
    """The primitives of a mesh that are triangles; the others are counted in `left_out`."""
    found = []
    for entry in document.all("meshes")[number].entries("primitives", "primitive"):
        mode, attributes = entry.integer("mode", 4), entry.entry("attributes")
        if mode > _FAN:
            raise GltfError(f"{entry.place}: mode {mode} is none of 0 to {_FAN}")
        if mode < _TRIANGLES or "POSITION" not in attributes:
            left_out["of points" if mode == 0 else "of lines" if mode < _TRIANGLES else "without POSITION"] += 1
            continue
        position = document.named("accessors", attributes, "POSITION")
        indices = document.named("accessors", entry, "indices") if "indices" in entry else position
        packed = entry.extension(_DRACO) is not None
        if packed and not (accessors.has_data(position) and accessors.has_data(indices)):
            raise GltfError(f"{entry.place} has {COMPRESSIONS[_DRACO]} ({_DRACO}), not read", WITHOUT_COMPRESSION)
        vertices, corners = accessors.count(position), accessors.count(indices)
        found.append(_Primitive(entry, vertices, corners if mode == _TRIANGLES else 3 * max(corners - 2, 0)))
    return found


def _no_triangles(left_out: collections.Counter[str]) -> tuple[str, str]:
    """Cause and remedy of a file without triangles."""
    if not left_out:
        return "no node of its scene has a mesh with triangles", "Give a mesh with vertices and faces."
    listed = " and ".join(f"{counted(number, 'part')} {what}" for what, number in left_out.items())
    return f"no triangles, only {listed}", "This program needs a mesh; make one of the points or lines first."


def _check_growth(placed: list[Placement], meshes: dict[int, list[_Primitive]], size: int) -> None:
    """Raises GltfError where copies make more of the file than is plausible; nothing is allocated before."""
    vertices = sum(len(part.matrices) * _vertex_count(meshes[part.mesh]) for part in placed)
    corners = sum(len(part.matrices) * sum(one.corners for one in meshes[part.mesh]) for part in placed)
    most_vertices, most_corners = max(_MOST_VERTICES, size // 3), max(_MOST_CORNERS, 3 * size)
    if vertices > most_vertices or corners > most_corners:
        cause = f"its nodes and instances place {vertices} vertices and {corners // 3} triangles"
        limit = f"{most_vertices} and {most_corners // 3} are the most for a file of {size} bytes"
        raise GltfError(f"{cause}; {limit}", "Split it into several files, or leave out copies.")


def _vertex_count(primitives: list[_Primitive]) -> int:
    return sum(primitive.vertices for primitive in primitives)


def _placed(
    document: Document, accessors: Accessors, placed: list[Placement], meshes: dict[int, list[_Primitive]]
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices float64 [V, 3] and corners int64 [3 F] of all nodes in the frame of the scene."""
    vertices, corners, blocks, start = [], [], {}, 0
    for part in placed:
        key = (part.mesh, part.weights)
        if key not in blocks:
            blocks[key] = _block(document, accessors, meshes[part.mesh], part.weights)
        points, triangles = blocks[key]
        for matrix in part.matrices:
            identity = np.array_equal(matrix, np.eye(4))
            vertices.append(points if identity else points @ matrix[:3, :3].T + matrix[:3, 3])
            mirrored = np.linalg.det(matrix[:3, :3]) < 0
            corners.append((triangles[:, ::-1] if mirrored else triangles).ravel() + start)
            start += len(points)
    return np.concatenate(vertices), np.concatenate(corners)


def _block(
    document: Document, accessors: Accessors, primitives: list[_Primitive], weights: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices float64 [V, 3] and triangles int64 [F, 3] of a mesh in its own frame, morphed by `weights`."""
    vertices, triangles, start = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
    for primitive in primitives:
        vertices.append(_positions(document, accessors, primitive, weights))
        triangles.append(_triangles(document, accessors, primitive) + start)
        start += primitive.vertices
    return np.concatenate(vertices), np.concatenate(triangles)


def _positions(
    document: Document, accessors: Accessors, primitive: _Primitive, weights: tuple[float, ...]
) -> np.ndarray:
    """Float64 [V, 3]: POSITION and, times their weights, those of the morph targets."""
    attributes = primitive.entry.entry("attributes")
    positions = accessors.read(document.named("accessors", attributes, "POSITION"), ("VEC3",)).astype(np.float64)
    for weight, target in zip(weights, primitive.entry.entries("targets", "target")):
        if weight and "POSITION" in target:
            moved = accessors.read(document.named("accessors", target, "POSITION"), ("VEC3",))
            if len(moved) != len(positions):
                raise GltfError(f"{target.place} moves {len(moved)} of {counted(len(positions), 'vertex')}")
            positions += weight * moved
    return positions


def _triangles(document: Document, accessors: Accessors, primitive: _Primitive) -> np.ndarray:
    """Vertex numbers of the primitive's triangles, int64 [F, 3] (glTF 2.0, 3.7.2.1)."""
    entry, mode = primitive.entry, primitive.entry.integer("mode", _TRIANGLES)
    if "indices" in entry:
        rows = accessors.read_indices(document.named("accessors", entry, "indices")).astype(np.int64)
        if len(rows) and rows.max() >= primitive.vertices:
            cause = f"{entry.place} names vertex {rows.max()}, but its vertices are 0 to {primitive.vertices - 1}"
            raise GltfError(cause, "The file is damaged; export it again.")
    else:
        rows = np.arange(primitive.vertices)
    if mode == _TRIANGLES:
        if len(rows) % 3:
            raise GltfError(f"{entry.place} has {len(rows)} corners, which make no whole number of triangles")
        return rows.reshape(-1, 3)
    if mode == _FAN:
        return np.stack([rows[1:-1], rows[2:], np.broadcast_to(rows[:1], len(rows[2:]))], axis=1)
    triangles = np.stack([rows[:-2], rows[1:-1], rows[2:]], axis=1)
    triangles[1::2] = triangles[1::2][:, [0, 2, 1]]
    return triangles


def _mesh_colors(painter: Painter, meshes: dict[int, list[_Primitive]]) -> dict[int, np.ndarray | None]:
    """Colours [V, 3] of each mesh, None where no primitive has any; primitives that share a texture one by one."""
    flat = [primitive for primitives in meshes.values() for primitive in primitives]
    painted = {}
    for primitive in sorted(flat, key=lambda one: painter.texture_number(one.entry)):
        painted[primitive.entry.place] = painter.colors(primitive.entry, primitive.vertices)
    return {
        mesh: _joined_colors([(painted[one.entry.place], one.vertices) for one in primitives])
        for mesh, primitives in meshes.items()
    }


def _joined_colors(parts: list[tuple[np.ndarray | None, int]]) -> np.ndarray | None:
    """Colours of parts, and to how many vertices each is repeated, in one array [V, 3].

    None where no part has any, else grey for parts without. Float32 from 0 to 1 where a part has that type, else uint8.
    """
    if all(colors is None for colors, _ in parts):
        return None
    fractions = any(colors is not None and colors.dtype != np.uint8 for colors, _ in parts)
    filled = []
    for colors, count in parts:
        if colors is None:
            colors = np.full((count, 3), _GREY, np.uint8)
        if fractions and colors.dtype == np.uint8:
            colors = (colors / 255).astype(np.float32)
        filled.append(np.tile(colors, (count // max(len(colors), 1), 1)))
    return np.concatenate(filled)


def _attribute_notes(meshes: dict[int, list[_Primitive]], painter: Painter) -> list[str]:
    """A note on the vertex attributes that nothing uses."""
    names = {
        name
        for primitives in meshes.values()
        for primitive in primitives
        for name in primitive.entry.entry("attributes").fields
        if name not in _ATTRIBUTES | painter.used_coordinates and not name.startswith(("JOINTS_", "WEIGHTS_"))
    }
    if not names:
        return []
    listed = ", ".join(quoted(name, 40).strip("'") for name in sorted(names)[:_SHOWN])
    return [f"vertex attributes ignored: {listed}{' ...' if len(names) > _SHOWN else ''}"]
