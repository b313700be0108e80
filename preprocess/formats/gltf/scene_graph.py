"""The scene graph of a glTF 2.0 file: which mesh is placed where."""

from dataclasses import dataclass

import numpy as np

from preprocess.formats.gltf.accessors import Accessors
from preprocess.formats.gltf.document import Document, Entry, GltfError
from trainlib.core.text import pluralize

_INSTANCING = "EXT_mesh_gpu_instancing"
_STEPS = {
    "TRANSLATION": ("VEC3", np.zeros(3)),
    "ROTATION": ("VEC4", np.array([0.0, 0.0, 0.0, 1.0])),
    "SCALE": ("VEC3", np.ones(3)),
}
"""Attributes of instances with their type and what stands for a missing one."""


@dataclass(frozen=True)
class Placement:
    """A node with a mesh.

    Attributes:
        mesh: number of the mesh.
        matrix: float64 [4, 4] from the node's frame to the scene's.
        weights: of the node for the mesh's morph targets, float64 [T]; None for the mesh's own.
        instances: the EXT_mesh_gpu_instancing entry; None for one copy in the node's frame.
    """

    mesh: int
    matrix: np.ndarray
    weights: np.ndarray | None
    instances: "_Instances | None"

    @property
    def copies(self) -> int:
        """How often the node shows its mesh."""
        return 1 if self.instances is None else self.instances.count

    def matrices(self) -> np.ndarray:
        """Float64 [copies, 4, 4] from the mesh's frame to the scene's."""
        return self.matrix[None] if self.instances is None else self.matrix @ self.instances.matrices()


@dataclass(frozen=True)
class _Instances:
    """Copies of a node: their number, and the accessors of what moves them, by the names in `_STEPS`."""

    accessors: Accessors
    given: dict[str, Entry]
    count: int

    def matrices(self) -> np.ndarray:
        """Float64 [count, 4, 4] from the mesh's frame to the node's."""
        steps = []
        for name, (kind, default) in _STEPS.items():
            if name in self.given:
                steps.append(self.accessors.read(self.given[name], (kind,)).astype(np.float64))
            else:
                steps.append(np.tile(default, (self.count, 1)))
        return _matrices(*steps)


def placements(document: Document, accessors: Accessors, notes: list[str]) -> list[Placement]:
    """The nodes with a mesh of the default scene, or else of the first scene, or else of all nodes.

    A node comes before its children, and the last child with all below it before the one before: the order in which
    trimesh lists them, so that labels made with it fit. Notes on scenes, meshes, skins and animations that are ignored
    are added to `notes`. Raises GltfError if nodes are not a tree, or a number or reference is wrong.
    """
    found, skinned = [], 0
    for node, matrix in _nodes(document, _roots(document, notes)):
        if "mesh" in node:
            document.named("meshes", node, "mesh")
            weights = node.numbers("weights") if "weights" in node else None
            found.append(Placement(node.integer("mesh"), matrix, weights, _instances(document, accessors, node)))
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
    matrices = _local_matrices(nodes)
    for row, parent in enumerate(parents):  # parents come before their children
        if parent >= 0:
            matrices[row] = matrices[parent] @ matrices[row]
    return list(zip(nodes, matrices))


def _local_matrices(nodes: list[Entry]) -> np.ndarray:
    """Float64 [N, 4, 4] of `matrix` (column by column), or of translation, rotation and scale."""
    translations, rotations, scales = np.zeros((len(nodes), 3)), np.zeros((len(nodes), 4)), np.ones((len(nodes), 3))
    whole = {}
    for row, node in enumerate(nodes):
        if "matrix" in node:
            whole[row] = node.numbers("matrix", (16,)).reshape(4, 4).T
            continue
        for name, table in (("translation", translations), ("rotation", rotations), ("scale", scales)):
            if name in node:
                table[row] = node.numbers(name, (table.shape[1],))
    matrices = _matrices(translations, rotations, scales)
    for row, matrix in whole.items():
        matrices[row] = matrix
    return matrices


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


def _instances(document: Document, accessors: Accessors, node: Entry) -> _Instances | None:
    """The copies of a node that EXT_mesh_gpu_instancing makes; None where it makes none."""
    instancing = node.extension(_INSTANCING)
    if instancing is None:
        return None
    attributes = instancing.entry("attributes")
    given = {name: document.named("accessors", attributes, name) for name in _STEPS if name in attributes}
    counts = {accessors.count(accessor) for accessor in given.values()}
    if len(counts) > 1:
        raise GltfError(f"{attributes.place} have different counts, {', '.join(map(str, sorted(counts)))}")
    return _Instances(accessors, given, counts.pop()) if given else None
