"""Binary glTF 2.0: the triangles of all nodes in one mesh, read by the standard (Khronos, glTF 2.0 specification)."""

import collections
import itertools
import json
import pathlib

import numpy as np

from preprocess.formats.colors import GREY
from preprocess.formats.gltf.document import (
    COMPRESSIONS,
    WITHOUT_COMPRESSION,
    Accessors,
    Document,
    Entry,
    GltfError,
    quoted,
)
from preprocess.formats.gltf.geometry import Placement, Primitive, placements, read_mesh, triangle_primitives
from preprocess.formats.gltf.materials import Painter
from preprocess.formats.text_numbers import EXPORT_AGAIN
from preprocess.mesh.mesh import MeshError, RawMesh
from trainlib.core.text import pluralize

_CUT_OFF = "The file was cut off; copy it again."
_READ = {
    "EXT_mesh_gpu_instancing", "EXT_texture_avif", "EXT_texture_webp", "KHR_materials_pbrSpecularGlossiness",
    "KHR_materials_unlit", "KHR_mesh_quantization", "KHR_texture_basisu", "KHR_texture_transform", "MSFT_texture_dds",
}  # fmt: skip
"""Supported extensions of vertex positions and base colours. A warning names one that cannot be applied."""
_WITHOUT_EFFECT = {
    "EXT_lights_ies", "EXT_lights_image_based", "EXT_mesh_features", "EXT_structural_metadata", "EXT_instance_features",
    "KHR_animation_pointer", "KHR_lights_punctual", "KHR_materials_anisotropy", "KHR_materials_clearcoat",
    "KHR_materials_diffuse_transmission", "KHR_materials_dispersion", "KHR_materials_emissive_strength",
    "KHR_materials_ior", "KHR_materials_iridescence", "KHR_materials_sheen", "KHR_materials_specular",
    "KHR_materials_transmission", "KHR_materials_variants", "KHR_materials_volume", "KHR_xmp_json_ld", "MSFT_lod",
}  # fmt: skip
"""Extensions that may be required and change neither."""
_ATTRIBUTES = {"POSITION", "NORMAL", "TANGENT", "COLOR_0", "TEXCOORD_0"}
_SHOWN = 12
_MOST_VERTICES, _MOST_CORNERS = 2**23, 2**25
"""What a file may grow to by copies of its meshes; a file that stores more without copies may have what it stores."""


def read_glb(path: pathlib.Path, content: bytes) -> RawMesh:
    """The triangles of all nodes of the default scene, node transforms applied.

    The vertices come node by node in the order of `geometry.placements`, copy by copy where a node is instanced,
    then primitive by primitive: all vertices of each primitive's POSITION, in their order. Parts without a colour are
    grey if another part has one. Raises MeshError.
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
    painter, skipped_parts = Painter(accessors), collections.Counter()
    placed = placements(accessors, notes)
    numbers = dict.fromkeys(part.mesh for part in placed)
    meshes = {mesh: triangle_primitives(accessors, mesh, skipped_parts) for mesh in numbers}
    skipped = [f"{pluralize(number, 'part')} {kind}" for kind, number in skipped_parts.items()]
    if not any(meshes.values()):
        if not skipped:
            raise GltfError("no node of its scene has a mesh with triangles", "Give a mesh with vertices and faces.")
        remedy = "This program needs a mesh; make one of the points or lines first."
        raise GltfError(f"no triangles, only {' and '.join(skipped)}", remedy)
    _check_growth(placed, meshes, len(content))
    colors = _colors(painter, placed, meshes)
    vertices, corners = _geometry(accessors, placed, meshes)
    notes += [f"warning: {parts} skipped" for parts in skipped]
    notes += painter.notes() + _attribute_notes(meshes, painter.used_coordinates)
    return RawMesh(vertices, corners, np.full(len(corners) // 3, 3, np.int64), colors, notes=notes)


def _json_part(content: bytes) -> dict:
    """The object in the first chunk. Raises GltfError for other versions, files that were cut off and damaged JSON."""
    version, length, json_length = (int.from_bytes(content[at : at + 4], "little") for at in (4, 8, 12))
    if version != 2:
        names = f" (glTF {version}.0)" if version == 1 else ""
        raise GltfError(f"a GLB of version {version}{names}; version 2 is read", "Convert it to glTF 2.0.")
    if max(length, json_length + 20) > len(content):
        cause = f"the header declares {max(length, json_length + 20)} bytes, the file has {len(content)}"
        raise GltfError(cause, _CUT_OFF)
    if content[16:20] != b"JSON":
        raise GltfError(f"its first chunk is {quoted(content[16:20].decode('latin-1'))}, not JSON")
    try:
        root = json.loads(content[20 : 20 + json_length].rstrip(b"\0 \t\r\n"))
    except RecursionError:
        raise GltfError("not a readable GLB (RecursionError: its JSON is nested too deeply)") from None
    except ValueError as error:
        raise GltfError(f"not a readable GLB ({type(error).__name__}: {str(error)[:200]})") from None
    if not isinstance(root, dict):
        raise GltfError("not a readable GLB (its JSON is not an object)")
    return root


def _binary_part(content: bytes, notes: list[str]) -> memoryview | None:
    """The first BIN chunk, None without one; other chunks are skipped."""
    length, start = int.from_bytes(content[8:12], "little"), 20 + int.from_bytes(content[12:16], "little")
    if len(content) > length:
        notes.append(f"warning: the header declares {length} bytes, the file has {len(content)}; is it one file?")
    while start + 8 <= len(content):
        end = start + 8 + int.from_bytes(content[start : start + 4], "little")
        if end > len(content) and start < length:
            raise GltfError(f"a chunk ends at byte {end}, the file has {len(content)}", _CUT_OFF)
        if end > len(content):
            break
        if content[start + 4 : start + 8] == b"BIN\0":
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
        raise GltfError(f"it requires extensions that are not read: {listed}", "Export it without them, or as PLY.")


def _check_growth(placed: list[Placement], meshes: dict[int, list[Primitive]], size: int) -> None:
    """Raises GltfError if copies make the file implausibly large, before anything is allocated."""
    vertex_counts = {mesh: sum(one.vertices for one in primitives) for mesh, primitives in meshes.items()}
    corner_counts = {mesh: sum(one.corners for one in primitives) for mesh, primitives in meshes.items()}
    vertices = sum(part.copies * vertex_counts[part.mesh] for part in placed)
    triangles = sum(part.copies * corner_counts[part.mesh] for part in placed) // 3
    most_vertices, most_triangles = max(_MOST_VERTICES, size // 3), max(_MOST_CORNERS, 3 * size) // 3
    if vertices > most_vertices or triangles > most_triangles:
        cause = f"its nodes and instances place {vertices} vertices and {triangles} triangles"
        limit = f"{most_vertices} and {most_triangles} are the most for a file of {size} bytes"
        raise GltfError(f"{cause}; {limit}", "Split it into several files, or remove copies.")


def _geometry(
    accessors: Accessors, placed: list[Placement], meshes: dict[int, list[Primitive]]
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices float64 [V, 3] and corners int64 [3 F] of all nodes in the frame of the scene."""
    vertices, corners, known, start = [np.zeros((0, 3))], [np.zeros(0, np.int64)], {}, 0
    for part in placed:
        key = (part.mesh, None if part.weights is None else part.weights.tobytes())
        if key not in known:
            known[key] = read_mesh(accessors, part.mesh, meshes[part.mesh], part.weights)
        points, triangles = known[key]
        matrices = part.matrices(accessors) if len(points) else np.zeros((0, 4, 4))
        mirrored = np.linalg.det(matrices[:, :3, :3]) < 0
        moved = (matrices != np.eye(4)).any(axis=(1, 2))
        for row, matrix in enumerate(matrices):
            vertices.append(points @ matrix[:3, :3].T + matrix[:3, 3] if moved[row] else points)
            corners.append((triangles[:, ::-1] if mirrored[row] else triangles).ravel() + start)
            start += len(points)
    return np.concatenate(vertices), np.concatenate(corners)


def _colors(painter: Painter, placed: list[Placement], meshes: dict[int, list[Primitive]]) -> np.ndarray | None:
    """Colours [V, 3] of all nodes, None where no part has any, else grey for parts without.

    Float32 from 0 to 1 where a part has that type, else uint8.
    """
    parts = sorted(itertools.chain(*meshes.values()), key=lambda part: painter.texture_number(part.entry))
    painted = {part.entry.place: painter.colors(part.entry, part.vertices) for part in parts}
    types = {colors.dtype.type for colors in painted.values() if colors is not None}
    if not types:
        return None
    for part in parts:
        colors = painted[part.entry.place]
        colors = np.full((part.vertices, 3), GREY, np.uint8) if colors is None else colors
        scale = np.float32 in types and colors.dtype == np.uint8
        painted[part.entry.place] = (colors / 255).astype(np.float32) if scale else colors
    copies = (painted[part.entry.place] for node in placed for part in meshes[node.mesh] * node.copies)
    return np.concatenate([np.zeros((0, 3), np.float32 if np.float32 in types else np.uint8), *copies])


def _attribute_notes(meshes: dict[int, list[Primitive]], used: set[str]) -> list[str]:
    """A note on the vertex attributes that are neither known nor among the `used` ones."""
    parts = itertools.chain(*meshes.values())
    names = {name for part in parts for name in part.entry.entry("attributes").fields}
    ignored = sorted(name for name in names - _ATTRIBUTES - used if not name.startswith(("JOINTS_", "WEIGHTS_")))
    listed = ", ".join(quoted(name, 40).strip("'") for name in ignored[:_SHOWN]) + (" ..." if ignored[_SHOWN:] else "")
    return [f"vertex attributes ignored: {listed}"] if ignored else []
