"""One placed scene on the host: voxels, tables, features and labels, before padding.

A sample is a pure function of a scene, a placement and a random generator; nothing here is batched or padded.
"""

import weakref
from typing import NamedTuple

import numpy as np

from kernels.host.mesh.radius import radius_graph
from kernels.host.tables import Rings
from kernels.host.voxel.hash_map import build_hash
from kernels.host.voxel.trilinear import trilinear_table
from kernels.host.voxel.voxels import VoxelPyramid, build_pyramid, downsample, unique_voxels
from preprocess.scene.scene_file import Scene
from vmnet_jax.data.edge_sampling import keep_mask
from vmnet_jax.data.placement import Placement, fixed_placement

FEATURE_WIDTHS = {"rgb": 3, "normals": 3, "ones": 1, "xyz": 3}

_RADIUS_RINGS: weakref.WeakKeyDictionary[Scene, dict] = weakref.WeakKeyDictionary()
"""The radius graphs of the scenes that are in memory, by scene and `VertexInputs`."""


class VertexInputs(NamedTuple):
    """What a network reads that starts at the mesh's vertices."""

    radii: tuple[float, ...] = ()  # of the neighbours in space, in the scene's unit, for each of the finest levels
    max_neighbours: int = 16  # of a vertex in space


class Sample(NamedTuple):
    """A placed scene of L levels. Absent table entries are -1."""

    name: str
    features: np.ndarray  # float32 [P, F]
    voxel_labels: np.ndarray  # int32 [P], -1 ignored
    voxels: VoxelPyramid
    rings: tuple[Rings, ...]
    keep: tuple[np.ndarray, ...]  # L x bool [V_l * K + O_l]
    corners: tuple[np.ndarray, ...]  # L x int32 [V_l, 8]
    weights: tuple[np.ndarray, ...]  # L x float32 [V_l, 8]
    traces: tuple[np.ndarray, ...]  # L - 1 x int32 [V_l], level l to level l + 1
    vertex_labels: np.ndarray  # int32 [V_0], -1 ignored
    vertex_features: np.ndarray | None = None  # float32 [V_0, F], for networks that start at vertices
    radius_rings: tuple[Rings, ...] = ()  # of the finest levels: neighbours in space
    radius_edge_mask: tuple[np.ndarray, ...] = ()  # bool [V_l * K]


def feature_width(names: tuple[str, ...]) -> int:
    """Number of input channels F of a list of feature names."""
    unknown = [n for n in names if n not in FEATURE_WIDTHS]
    if unknown or not names:
        raise ValueError(f"input features {list(names)}: known are {', '.join(FEATURE_WIDTHS)}")
    return sum(FEATURE_WIDTHS[n] for n in names)


def point_features(scene: Scene, names: tuple[str, ...], placement: Placement, rows: np.ndarray) -> np.ndarray:
    """float32 [len(rows), F]: the named features of the file's vertices `rows`, joined in the order of `names`.

    `rgb` is the colour in [-1, 1] plus the placement's shift, `normals` the unit normal in the placed frame, `ones` a
    constant 1, `xyz` the position relative to the scene's mean in the placed frame, in the scene's unit.
    """
    feature_width(names)
    parts = []
    for name in names:
        if name == "rgb":
            parts.append(scene.colors[rows].astype(np.float32) * np.float32(2 / 255) - 1 + placement.color_shift)
        elif name == "normals":
            parts.append(placement.apply_to_normals(scene.normals[rows]))
        elif name == "xyz":
            placed = placement.apply(scene.vertices[rows]) - placement.apply(scene.vertices.mean(0))
            parts.append(placed * scene.params["voxel_size"])
        else:
            parts.append(np.ones((len(rows), 1), np.float32))
    return np.concatenate(parts, axis=1, dtype=np.float32)


def make_sample(
    scene: Scene,
    placement: Placement | None,
    features: tuple[str, ...],
    edge_cutoff: int = 0,
    rng: np.random.Generator | None = None,
    *,
    vertices: VertexInputs | None = None,
) -> Sample:
    """Voxelizes a placed scene and builds the tables that depend on the placement.

    A voxel takes the features and the label of its first vertex.

    Args:
        scene: a preprocessed scene.
        placement: where the scene goes; None takes the unaugmented placement whose tables the scene file holds.
        features: names out of `FEATURE_WIDTHS`.
        edge_cutoff: vertices with more neighbours than this lose edges at random (training); 0 keeps all edges.
        rng: draws the kept edges; needed where `edge_cutoff` is not 0.
        vertices: what to make for a network that starts at vertices; None for none.
    """
    if placement is None:
        placement = fixed_placement(scene.vertices, scene.params["voxel_size"])
        pyramid, first = scene.voxels, scene.voxel_first
    else:
        found = unique_voxels(placement.apply(scene.vertices))
        pyramid, first = build_pyramid(found.coords, len(scene.rings)), found.first
    tables = [
        trilinear_table(placement.apply(points), coords, level, build_hash(coords))
        for level, (points, coords) in enumerate(zip(scene.level_vertices, pyramid.coords))
    ]
    corners, weights = zip(*tables)
    radius_rings = () if vertices is None else _radius_rings(scene, vertices)
    keep = tuple(keep_mask(table, rng, edge_cutoff) for table in scene.rings)
    unlabelled = scene.labels is None
    return Sample(
        name=scene.name,
        features=point_features(scene, features, placement, first),
        voxel_labels=np.full(len(first), -1, np.int32) if unlabelled else scene.labels[first].astype(np.int32),
        voxels=pyramid,
        rings=scene.rings,
        keep=keep,
        corners=corners,
        weights=weights,
        traces=tuple(scene.traces[1:]),
        vertex_labels=np.full(len(scene.level_vertices[0]), -1, np.int32) if unlabelled else scene.labels_l0,
        vertex_features=None if vertices is None else vertex_features(scene, features, placement),
        radius_rings=radius_rings,
        radius_edge_mask=tuple(keep_mask(table, rng, edge_cutoff) for table in radius_rings),
    )


def voxel_counts(points: np.ndarray, levels: int) -> tuple[int, ...]:
    """Occupied voxels at each level, of points float64 [V, 3] in voxel units."""
    coords = [unique_voxels(points).coords]
    for _ in range(levels - 1):
        coords.append(downsample(coords[-1])[0])
    return tuple(map(len, coords))


def vertex_features(scene: Scene, names: tuple[str, ...], placement: Placement) -> np.ndarray:
    """float32 [V_0, F]: the features of the file's vertices (`point_features`), mean over those in a level-0 vertex."""
    values, trace = point_features(scene, names, placement, np.arange(len(scene.vertices))), scene.traces[0]
    count = np.bincount(trace, minlength=len(scene.level_vertices[0]))
    sums = [np.bincount(trace, column, minlength=len(count)) for column in values.T]
    return (np.stack(sums, axis=1) / np.maximum(count, 1)[:, None]).astype(np.float32)


def _radius_rings(scene: Scene, vertices: VertexInputs) -> tuple[Rings, ...]:
    """The radius graph of each of the finest levels, built once per scene.

    It does not depend on the placement: the radii are of the unaugmented scene, and its draws are the same every time.
    """
    tables = _RADIUS_RINGS.setdefault(scene, {})
    if vertices not in tables:
        tables[vertices] = tuple(
            radius_graph(points, radius, vertices.max_neighbours, np.random.default_rng(0))
            for points, radius in zip(scene.level_vertices, vertices.radii)
        )
    return tables[vertices]
