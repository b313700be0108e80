"""Scores for every vertex of every scene: forward passes in one or more placements, summed, along the traces."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from preprocess.scene import Scene
from trainlib import parallel
from trainlib.prefetch import prefetch
from vmnet_jax.data import EvaluationBatches
from vmnet_jax.metrics import confusion
from vmnet_jax.model import VMNet

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


def scene_scores(
    forward: Callable, variables: dict, batches: EvaluationBatches, scene_of: Callable[[str], Scene], votes: int = 1
) -> Iterator[SceneScores]:
    """Yields every scene once, in order, with the logits of all its votes summed.

    Args:
      forward: from `make_forward`.
      variables: replicated over the local devices.
      votes: placements a scene is seen in; 1 is the unaugmented one, N are N random rigid ones.
    """
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
                scores = file_vertex_scores(scene_of(batches.names[index]), one)
                total = scores if total is None else total + scores
                done += 1
                if done == votes:
                    yield SceneScores(index, total)
                    total, done = None, 0


def evaluate_scenes(
    forward: Callable,
    variables: dict,
    batches: EvaluationBatches,
    scene_of: Callable[[str], Scene],
    num_classes: int,
    votes: int = 1,
) -> np.ndarray:
    """Confusion int64 [K predicted, K true] over all labelled vertices of all the scenes' files."""
    table = np.zeros((num_classes, num_classes), np.int64)
    for index, scores in scene_scores(forward, variables, batches, scene_of, votes):
        scene = scene_of(batches.names[index])
        if scene.labels is not None:
            table += np.asarray(confusion(scores.argmax(1), scene.labels, num_classes), np.int64)
    return table
