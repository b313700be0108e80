"""Readers for OBJ, OFF, STL and GLB. Each takes a path (for messages) and the file's bytes and returns a RawMesh."""

import io
import json
import pathlib
import struct

import numpy as np
import trimesh

from preprocess.mesh import MeshError, RawMesh

_EXPORT_AGAIN = "Export it again, or convert it to PLY."


def read_obj(path: pathlib.Path, content: bytes) -> RawMesh:
    """`v x y z [r g b]` and `f` lines of a Wavefront OBJ, in the order of the `v` lines; all else is left out.

    Negative indices count back from the latest vertex. Textures are not read.
    """
    vertex_lines, face_lines, seen = [], [], []
    textured = False
    for line in content.replace(b"\\\n", b" ").replace(b"\\\r\n", b" ").splitlines():
        keyword, _, rest = line.strip().partition(b" ")
        if keyword == b"v":
            vertex_lines.append(rest.split())
        elif keyword == b"f":
            face_lines.append(rest.split())
            seen.append(len(vertex_lines))
        textured |= keyword == b"usemtl"
    widths = {len(words) for words in vertex_lines}
    if not widths <= {3, 4, 6, 7} or len(widths) > 1:
        raise MeshError(path, f"`v` lines with {sorted(widths)} numbers", _EXPORT_AGAIN)
    counts = np.array([len(words) for words in face_lines], np.int64)
    try:
        table = np.array(vertex_lines, dtype=np.bytes_).astype(np.float64).reshape(len(vertex_lines), -1)
        flat = [int(word.split(b"/", 1)[0]) for words in face_lines for word in words]
    except ValueError as error:
        raise MeshError(path, f"a `v` or `f` line that is no list of numbers ({error})", _EXPORT_AGAIN) from None
    corners = np.array(flat, np.int64)
    corners = np.where(corners > 0, corners - 1, np.repeat(np.array(seen, np.int64), counts) + corners)
    corners[np.array(flat, np.int64) == 0] = -1
    colors = table[:, -3:] if widths & {6, 7} else None
    notes = ["materials and textures are not read from OBJ"] if textured and colors is None else []
    return RawMesh(table[:, :3].copy() if widths else np.zeros((0, 3)), corners, counts, colors, notes=notes)


def read_off(path: pathlib.Path, content: bytes) -> RawMesh:
    """OFF and COFF (a colour of three or four numbers after x y z), ASCII."""
    lines = [line.split(b"#", 1)[0].split() for line in content.splitlines()]
    lines = [words for words in lines if words]
    if not lines or lines[0][0] not in (b"OFF", b"COFF"):
        raise MeshError(path, f"not an ASCII OFF: begins with {content[:40].decode('latin-1')!r}", _EXPORT_AGAIN)
    head = lines[0][1:] or (lines[1] if len(lines) > 1 else [])
    body = lines[1:] if len(lines[0]) > 1 else lines[2:]
    if len(head) < 2 or not (head[0].isdigit() and head[1].isdigit()):
        raise MeshError(path, "no vertex and face counts after OFF", _EXPORT_AGAIN)
    num_vertices, num_faces = int(head[0]), int(head[1])
    if len(body) < num_vertices + num_faces:
        cause = f"{num_vertices} vertices and {num_faces} faces declared, {len(body)} lines present"
        raise MeshError(path, cause, "The file was cut off; copy or export it again.")
    vertex_lines, face_lines = body[:num_vertices], body[num_vertices : num_vertices + num_faces]
    widths = {len(words) for words in vertex_lines}
    if len(widths) > 1 or not widths <= {3, 6, 7}:
        raise MeshError(path, f"vertex lines with {sorted(widths)} numbers", _EXPORT_AGAIN)
    try:
        table = np.array(vertex_lines, dtype=np.bytes_).astype(np.float64).reshape(num_vertices, -1)
        counts = np.array([int(words[0]) for words in face_lines], np.int64)
        flat = [int(word) for words in face_lines for word in words[1 : 1 + int(words[0])]]
    except ValueError as error:
        raise MeshError(path, f"a line that is no list of numbers ({error})", _EXPORT_AGAIN) from None
    if len(flat) != counts.sum():
        raise MeshError(path, "a face line that is shorter than its corner count", _EXPORT_AGAIN)
    colors = table[:, 3:6] if widths & {6, 7} else None
    vertices = table[:, :3].copy() if widths else np.zeros((0, 3))
    return RawMesh(vertices, np.array(flat, np.int64), counts, colors)


def read_stl(path: pathlib.Path, content: bytes) -> RawMesh:
    """Binary or ASCII STL: three vertices per triangle, in corner order; equal corners are welded later."""
    if len(content) == 0:
        raise MeshError(path, "the file is empty", _EXPORT_AGAIN)
    ascii_file = content[:6].lower().startswith(b"solid") and b"facet" in content[:2000].lower()
    if not ascii_file:
        declared = struct.unpack_from("<I", content, 80)[0] if len(content) >= 84 else 0
        if len(content) < 84 + 50 * max(declared, 1):
            cause = f"a binary STL with {declared} triangles has {84 + 50 * declared} bytes, this file {len(content)}"
            raise MeshError(path, cause, "The file was cut off or is no STL; copy or export it again.")
    try:
        mesh = trimesh.load_mesh(io.BytesIO(content), file_type="stl_ascii" if ascii_file else "stl", process=False)
    except (ValueError, KeyError, IndexError) as error:
        raise MeshError(path, f"not a readable STL ({error})", _EXPORT_AGAIN) from None
    return RawMesh(*_arrays(mesh))


def read_glb(path: pathlib.Path, content: bytes) -> RawMesh:
    """Binary glTF 2.0: the triangle meshes of all nodes, node transforms applied, in the order of the scene graph.

    Colours come from vertex colours or, where the mesh has an image texture, from the image at each vertex.
    """
    if content[:4] != b"glTF" or len(content) < 20:
        raise MeshError(path, f"not a GLB: begins with {content[:40].decode('latin-1')!r}", _EXPORT_AGAIN)
    length, json_length = struct.unpack_from("<I", content, 8)[0], struct.unpack_from("<I", content, 12)[0]
    if length > len(content) or json_length > len(content) - 20:
        cause = f"the header declares {max(length, json_length + 20)} bytes, the file has {len(content)}"
        raise MeshError(path, cause, "The file was cut off; copy it again.")
    try:
        required = json.loads(content[20 : 20 + json_length]).get("extensionsRequired", [])
        if "KHR_draco_mesh_compression" in required:
            raise MeshError(path, "Draco-compressed meshes are not read", "Export it without compression.")
        scene = trimesh.load_scene(io.BytesIO(content), file_type="glb", process=False)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        if isinstance(error, MeshError):
            raise
        raise MeshError(path, f"not a readable GLB ({type(error).__name__}: {error})", _EXPORT_AGAIN) from None
    return _joined(scene)


def _joined(scene: trimesh.Scene) -> RawMesh:
    """All triangle meshes of a scene in one, colours grey for the parts that have none."""
    vertices, corners, colors, total = [], [], [], 0
    for node in scene.graph.nodes_geometry:
        transform, name = scene.graph[node]
        mesh = scene.geometry[name]
        if not isinstance(mesh, trimesh.Trimesh):
            continue
        mesh = mesh.copy().apply_transform(transform)
        part, part_corners, _ = _arrays(mesh)
        vertices.append(part)
        corners.append(part_corners + total)
        colors.append(_vertex_colors(mesh))
        total += len(part)
    notes = ["glTF is y up by its standard: give --up y unless it was exported otherwise"]
    if not vertices:
        return RawMesh(np.zeros((0, 3)), np.zeros(0, np.int64), np.zeros(0, np.int64), notes=notes)
    joined_colors = None
    if any(part is not None for part in colors):
        grey = [np.full((len(v), 3), 128, np.uint8) if c is None else c for v, c in zip(vertices, colors)]
        joined_colors = np.concatenate(grey)
    flat = np.concatenate(corners)
    return RawMesh(np.concatenate(vertices), flat, np.full(len(flat) // 3, 3, np.int64), joined_colors, notes=notes)


def _arrays(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """vertices, flat corners and corner counts of a trimesh."""
    faces = np.asarray(mesh.faces, np.int64)
    return np.asarray(mesh.vertices, np.float64), faces.reshape(-1), np.full(len(faces), 3, np.int64)


def _vertex_colors(mesh: trimesh.Trimesh) -> np.ndarray | None:
    """uint8 [V, 3] of a trimesh, or None."""
    visual = mesh.visual
    if visual.kind == "texture" and visual.uv is not None:
        visual = visual.to_color()
    if visual.kind != "vertex":
        return None
    return np.asarray(visual.vertex_colors, np.uint8)[:, :3]
