"""Scores for every vertex of every scene: forward passes in one or more placements, summed, along the traces."""

import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from ml_collections import ConfigDict

from preprocess.scene.scene_file import Scene
from trainlib.run import parallel
from trainlib.run.memory import GIB, StepMemory, device_memory, step_memory
from trainlib.run.prefetch import Prefetch
from vmnet_jax.data.batching import Sizes
from vmnet_jax.data.scenes import EvaluationBatches, votes_of
from vmnet_jax.data.tiling import TileSet
from vmnet_jax.learn.build import WITHOUT_LAYER_NORM
from vmnet_jax.learn.metrics import confusion
from vmnet_jax.prediction.read_out import TRACE, file_vertex_scores

LOADER_THREADS = 2
SCENES_PER_BATCH = "scenes the network sees together; matters where config.layer_norm_scope is 'batch' (original: 8)"
"""Help of the flag."""

_log = logging.getLogger(__name__)


class SceneScores(NamedTuple):
    """Summed logits of one scene, one row per vertex of its file."""

    index: int
    scores: np.ndarray  # float32 [V, K]


def make_forward(model: nn.Module) -> Callable:
    """forward(variables, batch) -> vertex logits [devices, V_0, K]; the batch has the leading device axis too.

    It runs on the devices of this process alone.
    """

    def forward(variables: dict, batch):
        return model.apply(variables, batch, train=False).vertex

    return parallel.pmap_step(forward, in_axes=(None, 0), out_axes=0, local=True)


def fitting_batches(
    forward: Callable,
    variables: dict,
    read: Callable[[str], Scene],
    names: list[str],
    max_voxels: int = 0,
    known: dict[Sizes, StepMemory] | None = None,
    **how: Any,
) -> tuple[EvaluationBatches, TileSet]:
    """Batches of whole scenes where they fit, of overlapping tiles where not.

    Args:
        max_voxels: voxels of level 0 that a pass may have; 0 asks the compiler whether the largest pass fits the
            device.
        known: buckets that are compiled and fit, with what a pass of them needs: they are taken again where they serve,
            and not asked about; grows.
        how: further arguments of `EvaluationBatches`. Its `votes` should be those that the scenes will be seen in, so
            that the largest pass is known.
    """
    known = {} if known is None else known
    tiles = TileSet(read, names, max_voxels, "--max_voxels")
    batches = EvaluationBatches(tiles, tiles.names, known=known, **how)
    if max_voxels or batches.buckets[-1] in known:
        return batches, tiles
    needed, there = pass_memory(forward, variables, batches), device_memory()
    if needed.total <= there:
        known[batches.buckets[-1]] = needed
        return batches, tiles
    limit = int(0.9 * _most_voxels(read, names) * there / needed.total)
    tiles = TileSet(read, names, limit, f"a memory of {there / GIB:.1f} GiB")
    return EvaluationBatches(tiles, tiles.names, known=known, **how), tiles


def _most_voxels(read: Callable[[str], Scene], names: list[str]) -> int:
    """Voxels of the largest unaugmented scene at level 0."""
    return max(len(read(name).voxels.coords[0]) for name in names)


def warn_of_single_scenes(config: ConfigDict, scenes_per_batch: int) -> None:
    """Logs it if a network that normalises over its whole batch sees each scene alone, unlike in its training."""
    normalised = config.layer_norm_scope == "batch" and config.get("model", "vmnet") not in WITHOUT_LAYER_NORM
    if normalised and scenes_per_batch == 1 < config.batch_size:
        text = (
            "The network normalises over the scenes of a batch (config.layer_norm_scope). It was trained on %d scenes "
        )
        _log.warning(text + "together and sees each alone here; see --scenes_per_batch", config.batch_size)


def pass_memory(forward: Callable, variables: dict, batches: EvaluationBatches) -> StepMemory:
    """What a pass of the largest bucket needs; compiles it, which is logged."""
    bucket = batches.buckets[-1]
    arrays = parallel.stack([batches.largest()] * parallel.num_local_devices())
    text = "Compiling a pass of %d voxels and %d vertices; this may take a minute, and is kept for the next time"
    _log.info(text, bucket.voxels[0], bucket.vertices[0])
    return step_memory(forward, variables, arrays)


def scene_scores(
    forward: Callable,
    variables: dict,
    batches: EvaluationBatches,
    tiles: TileSet,
    votes: int = 1,
    on_pass_done: Callable[[], object] = lambda: None,
    read_out: str = TRACE,
) -> Iterator[SceneScores]:
    """Yields every scene once, in order, with the logits of all its votes summed.

    Args:
        forward: from `make_forward`.
        variables: on the local devices (`parallel.to_devices`).
        batches: of the tiles.
        votes: placements a scene is seen in; 1 is the unaugmented one, N are N random rigid ones.
        on_pass_done: called when a group of tiles has been seen in one placement, for progress bars.
        read_out: see `vmnet_jax.prediction.read_out.file_vertex_scores`.
    """
    joined = None
    for name, scores in _tile_scores(forward, variables, batches, tiles, votes, on_pass_done, read_out):
        tile = tiles.tiles[name]
        if tile.inside is not None:
            joined = np.zeros((len(tile.inside), scores.shape[1]), np.float32) if joined is None else joined
            joined[tile.scored] = scores[tile.scored[tile.inside]]
        if tile.last:
            yield SceneScores(tile.scene, scores if tile.inside is None else joined)
            joined = None


def _tile_scores(
    forward: Callable,
    variables: dict,
    batches: EvaluationBatches,
    tiles: TileSet,
    votes: int,
    on_pass_done: Callable[[], object],
    read_out: str,
) -> Iterator[tuple[str, np.ndarray]]:
    """(name, summed logits of its vertices) of every tile, in order."""
    devices = parallel.num_local_devices()
    tasks = [(group, vote) for group in range(len(batches.groups)) for vote in votes_of(votes)]
    chunks = [tasks[i : i + devices] for i in range(0, len(tasks), devices)]

    def load(number: int):
        chunk = chunks[number]
        return parallel.stack(batches(chunk + chunk[:1] * (devices - len(chunk))))

    totals, done = {}, 0
    with Prefetch(load, 0, len(chunks), workers=LOADER_THREADS, depth=LOADER_THREADS) as loaded:
        for chunk, batch in zip(chunks, loaded):
            logits = np.asarray(jax.device_get(forward(variables, batch)), np.float32)
            for (group, _), one in zip(chunk, logits):
                start = 0
                for name in (batches.names[index] for index in batches.groups[group]):
                    scene = tiles(name)
                    scores = file_vertex_scores(scene, one[start:], read_out)
                    totals[name] = totals[name] + scores if name in totals else scores
                    start += len(scene.level_vertices[0])
                done += 1
                on_pass_done()
                if done == votes:
                    yield from totals.items()
                    totals, done = {}, 0


def evaluate_scenes(
    forward: Callable,
    variables: dict,
    batches: EvaluationBatches,
    tiles: TileSet,
    read: Callable[[str], Scene],
    num_classes: int,
    votes: int = 1,
    read_out: str = TRACE,
) -> np.ndarray:
    """Confusion int64 [K predicted, K true] over all labelled vertices of the files of all scenes of `read`."""
    table = np.zeros((num_classes, num_classes), np.int64)
    for index, scores in scene_scores(forward, variables, batches, tiles, votes, read_out=read_out):
        scene = read(tiles.scenes[index])
        if scene.labels is not None:
            table += np.asarray(confusion(scores.argmax(1), scene.labels, num_classes), np.int64)
    return table
