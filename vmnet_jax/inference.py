"""Scores for every vertex of every scene: forward passes in one or more placements, summed, along the traces."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from preprocess.scene import Scene
from trainlib import parallel
from trainlib.memory import GIB, device_memory, step_memory
from trainlib.prefetch import prefetch
from vmnet_jax.batching import Sizes
from vmnet_jax.data import EvaluationBatches
from vmnet_jax.metrics import confusion
from vmnet_jax.model import VMNet
from vmnet_jax.tiling import Pieces

LOADER_THREADS = 2


class SceneScores(NamedTuple):
    """Summed logits of one scene, one row a vertex of its file."""

    index: int
    scores: np.ndarray  # float32 [V, K]


def make_forward(model: VMNet) -> Callable:
    """forward(variables, batch) -> vertex logits [devices, V_0, K]; both arguments carry the leading device axis."""

    def forward(variables: dict, batch):
        return model.apply(variables, batch, train=False).vertex

    return parallel.pmap_step(forward)


def file_vertex_scores(scene: Scene, level0_logits: np.ndarray) -> np.ndarray:
    """Logits [V_0, K] (padding rows allowed) -> [V, K] for the vertices of the file, along the first trace."""
    return level0_logits[scene.traces[0]]


def fitting_batches(
    forward: Callable,
    variables: dict,
    read: Callable[[str], Scene],
    names: list[str],
    max_voxels: int = 0,
    fitting: set[Sizes] | None = None,
    **how: Any,
) -> tuple[EvaluationBatches, Pieces]:
    """Batches of whole scenes where they fit, of overlapping tiles where not.

    Args:
      max_voxels: voxels of level 0 that a pass may have; 0 asks the compiler whether the largest pass fits the device.
      fitting: buckets that are known to fit, and are not asked about again; grows.
      how: further arguments of `EvaluationBatches`.
    """
    pieces = Pieces(read, names, max_voxels, "--max_voxels")
    batches = EvaluationBatches(pieces, pieces.names, **how)
    fitting = set() if fitting is None else fitting
    if max_voxels or batches.buckets[-1] in fitting:
        return batches, pieces
    largest = max(range(len(batches.sizes)), key=lambda i: batches.buckets.index(batches.bucket(i)))
    arrays = parallel.stack(batches([(largest, 0)] * parallel.num_devices()))
    needed, there = step_memory(forward, variables, arrays).total, device_memory()
    if needed <= there:
        fitting.add(batches.buckets[-1])
        return batches, pieces
    limit = int(0.9 * batches.buckets[-1].voxels[0] * there / needed)
    pieces = Pieces(read, names, limit, f"a memory of {there / GIB:.1f} GiB")
    return EvaluationBatches(pieces, pieces.names, **how), pieces


def scene_scores(
    forward: Callable, variables: dict, batches: EvaluationBatches, pieces: Pieces, votes: int = 1
) -> Iterator[SceneScores]:
    """Yields every scene once, in order, with the logits of all its votes summed.

    Args:
      forward: from `make_forward`.
      variables: replicated over the local devices.
      batches: of the pieces.
      votes: placements a scene is seen in; 1 is the unaugmented one, N are N random rigid ones.
    """
    joined = None
    for name, scores in _piece_scores(forward, variables, batches, pieces, votes):
        scene, tile, last = pieces.pieces[name]
        if tile is not None:
            joined = np.zeros((len(tile.inside), scores.shape[1]), np.float32) if joined is None else joined
            joined[tile.owned] = scores[tile.owned[tile.inside]]
        if last:
            yield SceneScores(scene, scores if tile is None else joined)
            joined = None


def _piece_scores(
    forward: Callable, variables: dict, batches: EvaluationBatches, pieces: Pieces, votes: int
) -> Iterator[tuple[str, np.ndarray]]:
    """(name, summed logits of its vertices) of every piece, in order."""
    devices = parallel.num_devices()
    first_vote = 0 if votes == 1 else 1
    tasks = [(index, first_vote + v) for index in range(len(batches.names)) for v in range(votes)]
    chunks = [tasks[i : i + devices] for i in range(0, len(tasks), devices)]

    def load(number: int):
        chunk = chunks[number]
        return parallel.stack(batches(chunk + chunk[:1] * (devices - len(chunk))))

    total, done = None, 0
    with prefetch(load, 0, len(chunks), workers=LOADER_THREADS, depth=LOADER_THREADS) as loaded:
        for chunk, batch in zip(chunks, loaded):
            logits = np.asarray(jax.device_get(forward(variables, batch)), np.float32)
            for (index, _), one in zip(chunk, logits):
                name = batches.names[index]
                scores = file_vertex_scores(pieces(name), one)
                total = scores if total is None else total + scores
                done += 1
                if done == votes:
                    yield name, total
                    total, done = None, 0


def evaluate_scenes(
    forward: Callable,
    variables: dict,
    batches: EvaluationBatches,
    pieces: Pieces,
    read: Callable[[str], Scene],
    num_classes: int,
    votes: int = 1,
) -> np.ndarray:
    """Confusion int64 [K predicted, K true] over all labelled vertices of the files of all scenes of `read`."""
    table = np.zeros((num_classes, num_classes), np.int64)
    for index, scores in scene_scores(forward, variables, batches, pieces, votes):
        scene = read(pieces.scenes[index])
        if scene.labels is not None:
            table += np.asarray(confusion(scores.argmax(1), scene.labels, num_classes), np.int64)
    return table
