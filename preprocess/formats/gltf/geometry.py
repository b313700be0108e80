"""Vertices and triangles of a glTF 2.0 file: the primitives of its meshes, and the nodes that place them."""

import collections
from dataclasses import dataclass

import numpy as np

from preprocess.formats.gltf.document import COMPRESSIONS, WITHOUT_COMPRESSION, Accessors, Document, Entry, GltfError
from trainlib.core.text import pluralize

_DRACO = "KHR_draco_mesh_compression"
_TRIANGLES, _FAN = 4, 6
"""Values of `mode`; below are points and lines, between them is the strip (glTF 2.0, 5.24)."""
_STEPS = {
    "TRANSLATION": ("VEC3", np.zeros(3)),
    "ROTATION": ("VEC4", np.array([0.0, 0.0, 0.0, 1.0])),
    "SCALE": ("VEC3", np.ones(3)),
}
"""Attributes of instances with their type and what stands for a missing one."""


@dataclass(frozen=True)
class Primitive:
    """Triangles of a mesh: their object, and the numbers of their vertices and of their corners, three for each."""

    entry: Entry
    vertices: int
    corners: int


def triangle_primitives(accessors: Accessors, mesh: int, skipped_parts: collections.Counter[str]) -> list[Primitive]:
    """The primitives of a mesh that are triangles. Nothing is allocated yet.

    Args:
        mesh: its number.
        skipped_parts: counts the others: "of lines", "of points" or "without POSITION".
    """
    found = []
    for entry in accessors.document.all("meshes")[mesh].entries("primitives", "primitive"):
        mode, attributes = entry.integer("mode", _TRIANGLES), entry.entry("attributes")
        if mode > _FAN:
            raise GltfError(f"{entry.place}: mode {mode} is none of 0 to {_FAN}")
        if mode < _TRIANGLES:
            skipped_parts["of lines" if mode else "of points"] += 1
        elif "POSITION" not in attributes:
            skipped_parts["without POSITION"] += 1
        else:
            position = accessors.named(attributes, "POSITION")
            indices = accessors.named(entry, "indices") if "indices" in entry else position
            has_data = all("bufferView" in array or "sparse" in array for array in (position, indices))
            if entry.extension(_DRACO) is not None and not has_data:
                raise GltfError(f"{entry.place} has {COMPRESSIONS[_DRACO]} ({_DRACO}), not read", WITHOUT_COMPRESSION)
            vertices, corners = accessors.count(position), accessors.count(indices)
            found.append(Primitive(entry, vertices, corners if mode == _TRIANGLES else 3 * max(corners - 2, 0)))
    return found


def read_mesh(
    accessors: Accessors, mesh: int, primitives: list[Primitive], weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """A mesh in its own frame.

    Args:
        mesh: its number.
        primitives: its triangles, from `triangle_primitives`.
        weights: of its morph targets, float64 [T]; None for the mesh's own.

    Returns:
        vertices float64 [V, 3], one primitive after the other, and triangles int64 [F, 3].
    """
    weights = accessors.document.all("meshes")[mesh].numbers("weights") if weights is None else weights
    vertices, triangles, start = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
    for primitive in primitives:
        positions = accessors.read(accessors.named(primitive.entry.entry("attributes"), "POSITION"), ("VEC3",))
        positions = positions.astype(np.float64)
        for weight, target in zip(weights, primitive.entry.entries("targets", "target")):
            if weight and "POSITION" in target:
                moves = accessors.read(accessors.named(target, "POSITION"), ("VEC3",))
                if len(moves) != len(positions):
                    raise GltfError(f"{target.place} moves {len(moves)} of {pluralize(len(positions), 'vertex')}")
                positions += weight * moves
        vertices.append(positions)
        triangles.append(_triangles(accessors, primitive) + start)
        start += primitive.vertices
    return np.concatenate(vertices), np.concatenate(triangles)


def _triangles(accessors: Accessors, primitive: Primitive) -> np.ndarray:
    """Vertex numbers of the primitive's triangles, int64 [F, 3] (glTF 2.0, 3.7.2.1)."""
    entry, mode = primitive.entry, primitive.entry.integer("mode", _TRIANGLES)
    rows = np.arange(primitive.vertices)
    if "indices" in entry:
        rows = accessors.read_indices(accessors.named(entry, "indices")).astype(np.int64)
        if rows.max(initial=-1) >= primitive.vertices:
            cause = f"{entry.place} names vertex {rows.max()}, but its vertices are 0 to {primitive.vertices - 1}"
            raise GltfError(cause, "The file is damaged; export it again.")
    if mode == _TRIANGLES:
        if len(rows) % 3:
            raise GltfError(f"{entry.place} has {len(rows)} corners, which make no whole number of triangles")
        return rows.reshape(-1, 3)
    if mode == _FAN:
        return np.stack([rows[1:-1], rows[2:], np.broadcast_to(rows[:1], rows[2:].shape)], axis=1)
    triangles = np.stack([rows[:-2], rows[1:-1], rows[2:]], axis=1)
    triangles[1::2] = triangles[1::2][:, [0, 2, 1]]
    return triangles


@dataclass(frozen=True)
class Placement:
    """A node with a mesh.

    Attributes:
        mesh: number of the mesh.
        matrix: float64 [4, 4] from the node's frame to the scene's.
        weights: of the node for the mesh's morph targets, float64 [T]; None for the mesh's own.
        copies: how often the node shows its mesh.
        steps: accessors of what moves the copies, by the names in `_STEPS`; empty for one copy in the node's frame.
    """

    mesh: int
    matrix: np.ndarray
    weights: np.ndarray | None
    copies: int
    steps: dict[str, Entry]

    def matrices(self, accessors: Accessors) -> np.ndarray:
        """Float64 [copies, 4, 4] from the mesh's frame to the scene's."""
        if not self.steps:
            return self.matrix[None]
        moves = []
        for name, (kind, default) in _STEPS.items():
            if name in self.steps:
                moves.append(accessors.read(self.steps[name], (kind,)).astype(np.float64))
            else:
                moves.append(np.tile(default, (self.copies, 1)))
        return self.matrix @ _matrices(*moves)


def placements(accessors: Accessors, notes: list[str]) -> list[Placement]:
    """The nodes with a mesh of the default scene, or else of the first scene, or else of all nodes.

    A node comes before its children, and the last child with all below it before the one before: the order in which
    trimesh lists them, so that labels made with it fit. Notes on scenes, meshes, skins and animations that are ignored
    are added to `notes`. Raises GltfError if nodes are not a tree, or a number or reference is wrong.
    """
    document, found, skinned = accessors.document, [], 0
    for node, matrix in _nodes(document, _roots(document, notes)):
        if "mesh" in node:
            document.named("meshes", node, "mesh")
            weights = node.numbers("weights") if "weights" in node else None
            found.append(Placement(node.integer("mesh"), matrix, weights, *_instances(accessors, node)))
            skinned += "skin" in node
    total = len(document.all("meshes"))
    unused = total - len({placement.mesh for placement in found})
    if unused:
        notes.append(f"warning: {unused} of {total} meshes skipped, no node of the scene has them")
    if skinned:
        notes.append(f"warning: skins ignored, {pluralize(skinned, 'part')} in the pose of the mesh itself")
    if document.all("animations"):
        notes.append(f"{pluralize(len(document.all('animations')), 'animation')} ignored")
    return found


def _roots(document: Document, notes: list[str]) -> list[int]:
    """Numbers of the nodes without a parent in the scene that is read."""
    scenes, nodes = document.all("scenes"), document.all("nodes")
    if "scene" in document.root:
        scene = document.named("scenes", document.root, "scene")
    elif scenes:
        scene = scenes[0]
    else:
        children = {child for node in nodes for child in node.integers("children")}
        return [number for number in range(len(nodes)) if number not in children]
    if len(scenes) > 1:
        notes.append(f"warning: {pluralize(len(scenes), 'scene')} in the file, {scene.place} is read")
    return scene.integers("nodes")


def _nodes(document: Document, roots: list[int]) -> list[tuple[Entry, np.ndarray]]:
    """The nodes below the roots and their matrices to the scene's frame, float64 [4, 4]."""
    nodes, parents, seen = [], [], set()
    waiting = [(number, -1) for number in roots]
    while waiting:
        number, parent = waiting.pop()
        origin = "the scene" if parent < 0 else nodes[parent].place
        node = document.at("nodes", number, origin)
        if number in seen:
            raise GltfError(f"{node.place} is reached twice, from {origin} too; the nodes are not a tree")
        seen.add(number)
        waiting += [(child, len(nodes)) for child in node.integers("children")]
        nodes.append(node)
        parents.append(parent)
    moves = {name.lower(): np.tile(default, (len(nodes), 1)) for name, (_, default) in _STEPS.items()}
    whole = {}
    for row, node in enumerate(nodes):
        if "matrix" in node:
            whole[row] = node.numbers("matrix", (16,)).reshape(4, 4).T  # column by column in the file
            continue
        for name, table in moves.items():
            if name in node:
                table[row] = node.numbers(name, (table.shape[1],))
    matrices = _matrices(*moves.values())
    for row, parent in enumerate(parents):  # parents come before their children
        matrices[row] = whole.get(row, matrices[row])
        if parent >= 0:
            matrices[row] = matrices[parent] @ matrices[row]
    return list(zip(nodes, matrices))


def _matrices(translations: np.ndarray, rotations: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Translation times rotation times scale, float64 [I, 4, 4].

    Args:
        translations, scales: [I, 3].
        rotations: quaternions x y z w [I, 4] of any length; one of length 0 does not turn.
    """
    squared = np.einsum("iq,iq->i", rotations, rotations)
    twice = np.divide(2.0, squared, out=np.zeros_like(squared), where=squared > 0)
    x, y, z, w = rotations.T
    rows = (
        (1 - twice * (y * y + z * z), twice * (x * y - w * z), twice * (x * z + w * y)),
        (twice * (x * y + w * z), 1 - twice * (x * x + z * z), twice * (y * z - w * x)),
        (twice * (x * z - w * y), twice * (y * z + w * x), 1 - twice * (x * x + y * y)),
    )
    turn = np.moveaxis(np.array(rows), 2, 0)
    matrices = np.tile(np.eye(4), (len(translations), 1, 1))
    matrices[:, :3, :3] = turn * scales[:, None, :]
    matrices[:, :3, 3] = translations
    return matrices


def _instances(accessors: Accessors, node: Entry) -> tuple[int, dict[str, Entry]]:
    """`Placement.copies` and `steps` of a node, by EXT_mesh_gpu_instancing."""
    instancing = node.extension("EXT_mesh_gpu_instancing")
    if instancing is None:
        return 1, {}
    attributes = instancing.entry("attributes")
    steps = {name: accessors.named(attributes, name) for name in _STEPS if name in attributes}
    counts = {accessors.count(accessor) for accessor in steps.values()}
    if len(counts) > 1:
        raise GltfError(f"{attributes.place} have different counts, {', '.join(map(str, sorted(counts)))}")
    return (counts.pop(), steps) if steps else (1, {})
