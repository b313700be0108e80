"""A checked mesh, or a part of a scene, in; a complete scene out; all in memory."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kernels.host.voxel.hash_map import VoxelHash, build_hash
from kernels.host.voxel.voxels import VoxelPyramid, Voxels, build_pyramid, unique_voxels
from preprocess.labels.label_map import LabelMap
from preprocess.mesh.mesh import Mesh, MeshError
from preprocess.mesh.weld import weld
from preprocess.scene.hierarchy import build_hierarchy, level0_labels
from preprocess.scene.params import LEVELS, HierarchyParams
from preprocess.scene.scene_file import Scene
from trainlib.core.text import pluralize

GREY = 128
MAX_UNKNOWN = 0.99  # share of the labelled vertices whose id the label map may lack
FOREIGN = 0.01
"""Share of the labelled vertices with ids that neither map nor data set know, above which the scene gets a warning."""
OUTSIDE_MAP = "warning: ids outside the label map"
"""How that warning begins; the summary counts the scenes that have it."""
NO_LABELS = "no labels"  # the note of a scene that can be predicted, not trained on or scored
MAX_VOXELS_ACROSS = 2**20
"""Half of what the voxel tables number (21 bits an axis), since a random placement rotates and stretches the mesh."""
COARSEST, FINEST = 0.02, 0.97  # share of the distinct vertices that level 0 keeps, if the cells fit the mesh


def build_scene(
    name: str,
    mesh: Mesh,
    params: HierarchyParams,
    label_map: LabelMap | None = None,
    *,
    source_hash: str = "",
    more_params: dict | None = None,
) -> Scene:
    """Builds the hierarchy and the voxels of a mesh.

    Args:
        label_map: turns the mesh's raw ids into classes; without it, or without ids, the scene has no labels.
        more_params: what else decides the content, plain JSON values (reading options, ids of the label map).

    Raises:
        MeshError: if (nearly) no labelled vertex has an id of the map.
    """
    notes = list(mesh.notes)
    require_extent(mesh.vertices, params.voxel_size)
    with ThreadPoolExecutor(1) as pool:  # the kernels run without Python's lock
        voxel_tables = pool.submit(_voxel_tables, mesh.vertices, params.voxel_size)
        hierarchy = build_hierarchy(mesh, params)
        voxels, pyramid, voxel_hash = voxel_tables.result()
    finest = hierarchy.level_vertices[0]
    positions, kept = len(weld(mesh.vertices).first), len(finest)
    if params.cells and len(mesh.faces) and not COARSEST <= kept / positions <= FINEST:
        cell = f"its cell (--cells of preprocess.scenes) is {params.cells[0]:g}"
        share = f"warning: level 0 keeps {kept} of {positions} vertices"
        notes.append(f"{share}; {cell}, the median edge {median_edge(mesh):.3g}")
    labels = labels_l0 = None
    if mesh.labels is None and label_map is not None:
        notes.append(NO_LABELS)
    elif label_map is not None:
        labels = mesh_classes(mesh, label_map, notes)
        labels_l0 = level0_labels(params.level0_labels, mesh.vertices, labels, finest, hierarchy.traces[0])
    has_colors = mesh.colors is not None
    return Scene(
        name=name,
        params={**params.to_dict(), **(more_params or {})},
        source_hash=source_hash,
        vertices=mesh.vertices,
        faces=mesh.faces,
        colors=mesh.colors if has_colors else np.full(mesh.vertices.shape, GREY, np.uint8),
        has_colors=has_colors,
        normals=mesh.normals,
        labels=labels,
        labels_l0=labels_l0,
        voxels=pyramid,
        voxel_first=voxels.first,
        voxel_inverse=voxels.inverse,
        hash=voxel_hash,
        notes=notes,
        **hierarchy._asdict(),
    )


def require_extent(vertices: np.ndarray, voxel_size: float) -> None:
    """Raises ValueError if a mesh with `vertices` [V, 3] spans more voxels than their tables can number."""
    extent = float(np.ptp(vertices, axis=0).max())
    if extent > MAX_VOXELS_ACROSS * voxel_size:
        text = f"the mesh is {extent:.3g} across, more than {MAX_VOXELS_ACROSS} voxels of {voxel_size:g}. "
        raise ValueError(text + "Is --units right? Or look for a vertex that is far off.")


def _voxel_tables(vertices: np.ndarray, voxel_size: float) -> tuple[Voxels, VoxelPyramid, VoxelHash]:
    """The occupied voxels of the unaugmented placement, the tables of all levels, the hash of the finest."""
    voxels = unique_voxels((vertices - vertices.min(axis=0)) * (1 / voxel_size))
    return voxels, build_pyramid(voxels.coords, LEVELS), build_hash(voxels.coords)


def median_edge(mesh: Mesh) -> float:
    """Median length of the faces' sides, in the scene's unit; 0 without faces."""
    if not len(mesh.faces):
        return 0.0
    corners = mesh.vertices[mesh.faces]
    return float(np.median(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)))


def mesh_classes(mesh: Mesh, label_map: LabelMap, notes: list[str]) -> np.ndarray:
    """Class indices int32 [V] of a mesh with labels; ids outside the map are ignored and counted in a note.

    Raises MeshError if (nearly) no labelled vertex has an id of the map.
    """
    classes, unknown = label_map.to_classes(mesh.labels)
    outside, labelled = sum(unknown.values()), int((classes >= 0).sum())
    if not unknown:
        return classes
    listed = ", ".join(str(id_) for id_ in list(unknown)[:8]) + (" ..." if len(unknown) > 8 else "")
    share = f"{outside} of {outside + labelled} labelled vertices"
    if outside > MAX_UNKNOWN * (outside + labelled):
        cause = f"{share} have ids that the label map lacks: {listed}"
        raise MeshError(mesh.labels_file or "the mesh", cause, "Give the data's own --label_map, or --label_map auto.")
    note = f"{pluralize(outside, 'vertex')} with {pluralize(len(unknown), 'id')} outside the label map ignored"
    if label_map.foreign(unknown) > FOREIGN * (outside + labelled):
        note = f"{OUTSIDE_MAP}: {share} ignored"
    notes.append(f"{note}: {listed}")
    return classes


def crop_scene(scene: Scene, inside: np.ndarray, name: str = "") -> Scene:
    """The scene of some of the file's vertices, with the faces that have all corners among them.

    Levels, traces, tables and voxels are rebuilt with the scene's parameters. Positions, colours, normals and labels
    are taken from the scene, in its order.

    Args:
        inside: bool [V], at least one of them True.
        name: name of the crop, the scene's if empty.
    """
    place = np.cumsum(inside, dtype=np.int32) - 1
    faces = place[scene.faces[inside[scene.faces].all(axis=1)]]
    params = HierarchyParams.from_dict(scene.params)
    mesh = Mesh(scene.vertices[inside], faces, scene.colors[inside], scene.normals[inside])
    crop = build_scene(name or scene.name, mesh, params, more_params=scene.params)
    crop.has_colors = scene.has_colors
    if scene.labels is not None:
        crop.labels = scene.labels[inside]
        finest, trace = crop.level_vertices[0], crop.traces[0]
        crop.labels_l0 = level0_labels(params.level0_labels, mesh.vertices, crop.labels, finest, trace)
    return crop


def random_crop(scene: Scene, max_voxels: int, rng: np.random.Generator) -> Scene:
    """The part of a scene around one of its vertices, drawn at random, that fills at most `max_voxels` voxels.

    The part is a square in x and y, over the whole height.
    """
    center = scene.vertices[rng.integers(len(scene.vertices))]
    distance = np.abs(scene.vertices[:, :2] - center[:2]).max(axis=1)
    nearest = np.full(len(scene.voxel_first), np.inf)
    np.minimum.at(nearest, scene.voxel_inverse, distance)
    if len(nearest) <= max_voxels:
        return scene
    reach = np.partition(nearest, max_voxels)[max_voxels]
    return crop_scene(scene, (distance < reach) | (distance == 0))
