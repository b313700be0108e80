"""The scene on which VMNet is timed, as a sample."""

import pathlib

import numpy as np

from benchmarks.data import FINEST, SCENE_SEED, open_inputs
from benchmarks.harness.worker import read_arrays
from kernels.host.mesh.rings import edge_targets_sources, ring_table, rings_from_edges
from kernels.host.tables import Rings
from kernels.host.voxel.morton import morton_order
from kernels.host.voxel.trilinear import trilinear_table
from kernels.host.voxel.voxels import build_pyramid
from preprocess.labels.label_map import scannet20
from preprocess.scene.build import build_scene
from preprocess.scene.params import HierarchyParams
from preprocess.synthetic.room import make_room
from vmnet_jax.data.sample import Sample, make_sample

LEVELS = ("l0", "l1", "l2", "l3", "l4", "l5", "mid")
FEATURES = ("rgb",)
CUTOFF = 4


def bench_sample(data: str, sampled_edges: bool) -> Sample:
    """The stored batch of the original network, or a made room of about its size.

    With `sampled_edges`, edges of vertices with more than four neighbours are thinned out, as in training.
    """
    inputs = open_inputs(data)
    if inputs.scene is not None:
        return stored_sample(inputs.scene, sampled_edges)
    scene = build_scene("room", make_room(SCENE_SEED, FINEST), HierarchyParams(), scannet20())
    return make_sample(scene, None, FEATURES, CUTOFF if sampled_edges else 0, np.random.default_rng(0))


def stored_sample(path: pathlib.Path, sampled_edges: bool) -> Sample:
    """One scene of the original's batch, without the trace from the file's vertices.

    The file has `coords_v`, `colors_v`, `labels_v`, and per level `pos`, `edge` (source, target), `edgekeep`, `trace`.
    """
    arrays = read_arrays(path)
    order = morton_order(arrays["coords_v"][:, :3])
    pyramid = build_pyramid(arrays["coords_v"][order, :3], len(LEVELS))
    points = [arrays[f"pos_{name}"][:, :3] for name in LEVELS]
    edges = [
        _edges(arrays[f"edge_{name}"], arrays[f"edgekeep_{name}"] | (not sampled_edges), len(p))
        for name, p in zip(LEVELS, points)
    ]
    tables = [trilinear_table(p, pyramid.coords[level], level) for level, p in enumerate(points)]
    return Sample(
        name=path.stem,
        features=arrays["colors_v"][order],
        voxel_labels=np.maximum(arrays["labels_v"][order], -1).astype(np.int32),
        voxels=pyramid,
        rings=tuple(rings for rings, _ in edges),
        keep=tuple(keep for _, keep in edges),
        corners=tuple(corners for corners, _ in tables),
        weights=tuple(weights for _, weights in tables),
        traces=tuple(arrays[f"trace_{name}"].astype(np.int32) for name in LEVELS[1:]),
        vertex_labels=np.maximum(arrays["labels_m"], -1).astype(np.int32),
    )


def _edges(edges: np.ndarray, kept: np.ndarray, vertices: int) -> tuple[Rings, np.ndarray]:
    """One-rings of all edges, and which directed edges are kept."""
    source, target = edges
    rings = ring_table(rings_from_edges(target, source, vertices))
    all_targets, all_sources, valid = edge_targets_sources(rings)
    chosen = target[kept].astype(np.int64) * vertices + source[kept]
    return rings, valid & np.isin(all_targets.astype(np.int64) * vertices + all_sources, chosen)
