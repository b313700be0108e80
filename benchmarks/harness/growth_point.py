"""One point of `benchmarks.growth` in its own process.

python -m benchmarks.harness.growth_point prepare|train VOXELS SCENES
"""

import json
import pathlib
import statistics
import sys
import time

import jax
import numpy as np

from benchmarks.data import FINEST, FOLDER, apartment
from benchmarks.harness.bench_scene import CUTOFF, FEATURES
from benchmarks.harness.worker import peak_mib
from benchmarks.rows.vmnet import fresh_state, optimizer, padded_batch
from kernels.host.voxel.voxels import unique_voxels
from preprocess.labels.label_map import scannet20
from preprocess.mesh.mesh import Mesh
from preprocess.scene.build import build_scene
from preprocess.scene.params import HierarchyParams
from preprocess.scene.scene_file import read_scene, write_scene
from vmnet_jax.data.placement import training_placement
from vmnet_jax.data.sample import Sample, make_sample
from vmnet_jax.learn.step import TrainState, make_train_step
from vmnet_jax.model.scene_batch import SceneBatch

STEPS = 3


def piece(mesh: Mesh, voxels: int) -> Mesh:
    """The part of a mesh with the least x that fills about the given number of voxels of 2 cm."""
    order = np.argsort(mesh.vertices[:, 0], kind="stable")
    inverse = unique_voxels((mesh.vertices - mesh.vertices.min(0)) / FINEST).inverse
    first = np.sort(np.unique(inverse[order], return_index=True)[1])
    kept = np.zeros(len(order), bool)
    kept[order[: first[min(voxels, len(first) - 1)]]] = True
    rank = np.cumsum(kept) - 1
    faces = rank[mesh.faces[kept[mesh.faces].all(1)]].astype(np.int32)
    parts = {name: getattr(mesh, name)[kept] for name in ("vertices", "colors", "normals", "labels")}
    return Mesh(faces=faces, **parts)


def samples_of(path: pathlib.Path, scenes: int) -> list[Sample]:
    """The scene the given number of times, each in a new placement as in training."""
    scene, samples = read_scene(path), []
    for seed in range(scenes):
        rng = np.random.default_rng(seed)
        placement = training_placement(scene.vertices, scene.params["voxel_size"], rng, "z")
        samples.append(make_sample(scene, placement, FEATURES, CUTOFF, rng))
    return samples


def prepare(path: pathlib.Path, voxels: int, scenes: int) -> dict:
    """Makes the scene file if it is missing, times its making, and fills the compilation cache."""
    mesh = piece(apartment(), voxels)
    build_scene("warm up", piece(mesh, 1000), HierarchyParams(), scannet20())
    start = time.perf_counter()
    scene = build_scene("piece", mesh, HierarchyParams(), scannet20())
    seconds = time.perf_counter() - start
    path.parent.mkdir(parents=True, exist_ok=True)
    write_scene(path, scene)
    compiled(padded_batch(samples_of(path, scenes)))
    return {"preprocessing_s": seconds}


def compiled(batch: SceneBatch) -> tuple[TrainState, jax.stages.Compiled]:
    """Fresh state and the compiled step."""
    model, state = fresh_state()
    step = jax.jit(make_train_step(model, optimizer(), None), donate_argnums=0)
    return state, step.lower(state, batch).compile()


def train(path: pathlib.Path, voxels: int, scenes: int) -> dict:
    """Tables of a batch, then a few steps."""
    padded_batch(samples_of(path, 1))
    start = time.perf_counter()
    batch = padded_batch(samples_of(path, scenes))
    tables = time.perf_counter() - start
    state, step = compiled(batch)
    memory, times = step.memory_analysis(), []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        state, metrics = jax.block_until_ready(step(state, batch))
        times.append(time.perf_counter() - start)
    if not np.isfinite(metrics["loss"]):
        raise FloatingPointError(f"the loss is {metrics['loss']}")
    return {
        "voxels": int(batch.voxel_count[0]),
        "vertices": int(batch.vertex_count[0]),
        "tables_s": tables,
        "step_s": statistics.median(times[1:]),
        "xla_mib": (memory.temp_size_in_bytes + memory.argument_size_in_bytes) / 2**20,
        "peak_mib": peak_mib(),
    }


def main() -> None:
    """The command line; the last line of stdout is a JSON object."""
    task, voxels, scenes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    path = FOLDER / "growth" / f"{voxels}.scene.npz"
    print(json.dumps({"prepare": prepare, "train": train}[task](path, voxels, scenes)))


if __name__ == "__main__":
    main()
