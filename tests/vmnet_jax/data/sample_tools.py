"""Samples of the networks' tests: fewer levels, renamed vertices, buckets, and everything in float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from kernels.host.mesh.rings import edge_targets_sources, ring_table, rings_from_edges
from kernels.host.tables import Rings
from kernels.host.voxel.voxels import VoxelPyramid
from preprocess.scene.scene_file import Scene
from vmnet_jax.data.batching import Sizes, add_sizes, sample_sizes
from vmnet_jax.data.sample import Sample


def double(tree):
    """Floating point leaves in float64; to be called with x64 enabled."""
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float64 if np.asarray(a).dtype.kind == "f" else None), tree)


def finest_levels(scene: Scene, levels: int) -> Scene:
    """The scene without its coarser levels."""
    steps, voxels = levels - 1, scene.voxels
    return dataclasses.replace(
        scene,
        level_vertices=scene.level_vertices[:levels],
        level_faces=scene.level_faces[:levels],
        rings=scene.rings[:levels],
        traces=scene.traces[:levels],
        voxels=VoxelPyramid(
            voxels.coords[:levels], voxels.neighbours[:levels], voxels.children[:steps], voxels.slots[:steps]
        ),
    )


def bucket_of(samples: list[Sample], spare: int) -> Sizes:
    """Room for the samples and `spare` rows more than needed."""
    return Sizes(*(tuple(n + 1 + spare for n in part) for part in add_sizes([sample_sizes(s) for s in samples])))


def permuted(sample: Sample, rng: np.random.Generator) -> tuple[Sample, np.ndarray]:
    """The same scene with the vertices of every level in another order, and where level 0's vertices went."""
    places = [rng.permutation(len(r.degree)) for r in sample.rings]
    rings, keep = _permuted_levels(sample.rings, sample.keep, places)
    radius_rings, radius_edge_mask = _permuted_levels(sample.radius_rings, sample.radius_edge_mask, places)
    backs = [np.argsort(p) for p in places]
    moved = sample._replace(
        rings=rings,
        keep=keep,
        corners=tuple(c[b] for c, b in zip(sample.corners, backs)),
        weights=tuple(w[b] for w, b in zip(sample.weights, backs)),
        traces=tuple(places[i + 1][trace[backs[i]]].astype(np.int32) for i, trace in enumerate(sample.traces)),
        vertex_labels=sample.vertex_labels[backs[0]],
        vertex_features=None if sample.vertex_features is None else sample.vertex_features[backs[0]],
        radius_rings=radius_rings,
        radius_edge_mask=radius_edge_mask,
    )
    return moved, places[0]


def _permuted_levels(tables, masks, places) -> tuple[tuple[Rings, ...], tuple[np.ndarray, ...]]:
    levels = [_permuted_edges(*level) for level in zip(tables, masks, places)]
    return tuple(table for table, _ in levels), tuple(mask for _, mask in levels)


def _permuted_edges(table, keep, place):
    count = len(place)
    target, source, valid = edge_targets_sources(table)
    target, source, keep = place[target[valid]], place[source[valid]], keep[valid]
    moved = ring_table(rings_from_edges(target, source, count), table.ring.shape[1])
    kept = np.zeros((count, count), bool)
    kept[target, source] = keep
    target, source, valid = edge_targets_sources(moved)
    return moved, valid & kept[target, source]
