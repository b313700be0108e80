"""Batches and weights of the original network's stored results, in our conventions."""

import importlib.util
import json
import pathlib
from types import ModuleType
from typing import NamedTuple

import numpy as np

from kernels.host.mesh.rings import edge_targets_sources, ring_table, rings_from_edges
from kernels.host.voxel.hash_map import build_hash, lookup
from kernels.host.voxel.morton import morton_order
from kernels.host.voxel.trilinear import trilinear_table
from kernels.host.voxel.voxels import build_pyramid
from vmnet_jax.data.batching import Sizes, add_sizes, collate, sample_sizes
from vmnet_jax.data.sample import Sample
from vmnet_jax.model.scene_batch import SceneBatch

LEVELS = ("l0", "l1", "l2", "l3", "l4", "l5", "mid")
RING_WIDTH = 6  # below the largest degree of the stored meshes, so that the overflow lists are in use
SPARE_ROWS = 5


class ParityBatch(NamedTuple):
    """A stored batch; real rows are in the stored order for vertices and in Morton order for voxels."""

    samples: list[Sample]
    batch: SceneBatch

    def voxel_rows(self, coords: np.ndarray, level: int) -> np.ndarray:
        """Rows int64 [N] of stored coordinates int32 [N, 4] (x, y, z in level-0 units, scene) at a level."""
        rows, start = np.full(len(coords), -1), 0
        for scene, sample in enumerate(self.samples):
            own = sample.voxels.coords[level]
            chosen = coords[:, 3] == scene
            found = lookup(build_hash(own), coords[chosen, :3] >> level)
            assert (found >= 0).all()
            rows[chosen] = start + found
            start += len(own)
        assert len(np.unique(rows)) == len(rows) == start
        return rows


def parity_batch(stored, dtype: type) -> ParityBatch:
    """The batch of net_eval.npz or net_train.npz, with features and weights in `dtype`."""
    kinds, names = ("coords", "colors", "pos", "edge", "trace"), stored.keys()
    arrays = {name: stored[name] for name in names if name.split("_")[0] in kinds}
    arrays |= {name: stored[name] for name in ("labels_v", "labels_m") if name in stored}
    num_scenes = arrays["coords_v"][:, 3].max() + 1
    samples = [_sample(arrays, scene, dtype) for scene in range(num_scenes)]
    total = add_sizes([sample_sizes(s) for s in samples])
    bucket = Sizes(*(tuple(n + 1 + SPARE_ROWS for n in part) for part in total))
    return ParityBatch(samples, collate(samples, bucket))


def _sample(arrays: dict[str, np.ndarray], scene: int, dtype: type) -> Sample:
    coords, voxels = arrays["coords_v"], arrays["coords_v"][:, 3] == scene
    order = np.flatnonzero(voxels)[morton_order(coords[voxels, :3])]
    pyramid = build_pyramid(coords[order, :3], len(LEVELS))
    vertices = [arrays[f"pos_{name}"][:, 3] == scene for name in LEVELS]
    starts = [int(np.flatnonzero(chosen)[0]) for chosen in vertices]
    edges = [_edges(arrays[f"edge_{name}"], v, start) for name, v, start in zip(LEVELS, vertices, starts)]
    points = [arrays[f"pos_{name}"][v, :3] for name, v in zip(LEVELS, vertices)]
    tables = [trilinear_table(p, pyramid.coords[level], level, dtype=dtype) for level, p in enumerate(points)]
    traces = [arrays[f"trace_{name}"][vertices[i]] - starts[i + 1] for i, name in enumerate(LEVELS[1:])]
    labels_v = arrays.get("labels_v", np.full(len(coords), -1))[order]
    labels_m = arrays.get("labels_m", np.full(len(vertices[0]), -1))[vertices[0]]
    return Sample(
        name=str(scene),
        features=arrays["colors_v"][order].astype(dtype),
        voxel_labels=np.maximum(labels_v, -1).astype(np.int32),
        voxels=pyramid,
        rings=tuple(rings for rings, _ in edges),
        keep=tuple(keep for _, keep in edges),
        corners=tuple(corners for corners, _ in tables),
        weights=tuple(weights for _, weights in tables),
        traces=tuple(trace.astype(np.int32) for trace in traces),
        vertex_labels=np.maximum(labels_m, -1).astype(np.int32),
    )


def _edges(stored: np.ndarray, vertices: np.ndarray, start: int):
    """One-rings of the symmetric closure of stored edges [2, E] (source, target), and which of them are listed."""
    source, target = stored[:, vertices[stored[0]]] - start
    count = int(vertices.sum())
    rings = ring_table(rings_from_edges(target, source, count), RING_WIDTH)
    all_targets, all_sources, valid = edge_targets_sources(rings)
    listed = np.isin(all_targets.astype(np.int64) * count + all_sources, target.astype(np.int64) * count + source)
    keep = valid & listed
    assert keep.sum() == len(source)
    return rings, keep


def load_formula(folder: pathlib.Path) -> ModuleType:
    """vm_init.py of a folder of stored results."""
    spec = importlib.util.spec_from_file_location("vm_init", folder / "vm_init.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_seed(folder: pathlib.Path) -> int:
    """Seed of the stored weights."""
    content = json.loads((folder / "seed.json").read_text())
    return content["seed"] if isinstance(content, dict) else content


def read_entries(folder: pathlib.Path) -> list[dict]:
    """Name, shape, dtype and kind ("parameter" or "buffer") of every array of the state_dict."""
    return json.loads((folder / "state_dict.json").read_text())["entries"]


def state_dict(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The stored network's weights by name."""
    formula, seed = load_formula(folder), read_seed(folder)
    return {e["name"]: formula.value(e["name"], tuple(e["shape"]), seed) for e in read_entries(folder)}
