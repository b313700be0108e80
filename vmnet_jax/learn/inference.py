"""Scores for every vertex of every scene: forward passes in one or more placements, summed, along the traces.

Evaluation and prediction score the scenes of a restored network, `vmnet_jax.learn.validation` those of a training.
"""

import contextlib
import itertools
import logging
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from kernels.device.dispatch import custom_calls
from preprocess.scene.scene_file import Scene
from trainlib.run import parallel
from trainlib.run.memory import GIB, StepMemory, device_memory, step_memory
from trainlib.run.prefetch import Prefetch
from trainlib.store.programs import StoredStep
from vmnet_jax.data.batching import Sizes
from vmnet_jax.data.ladder import rows_below
from vmnet_jax.data.scenes import EvaluationBatches, votes_of
from vmnet_jax.data.tiling import TileSet
from vmnet_jax.learn.metrics import confusion
from vmnet_jax.learn.network_settings import WITHOUT_LAYER_NORM, model_name, network_key
from vmnet_jax.model.scene_batch import SceneBatch
from vmnet_jax.prediction.read_out import TRACE, file_vertex_scores

LOADER_THREADS = 2

_log = logging.getLogger(__name__)


def network_forward(config: ConfigDict, num_classes: int) -> StoredStep:
    """`make_forward` for the network of a config, which is built only to be traced."""

    def build() -> Any:
        from vmnet_jax.learn.build import build_model

        return build_model(config, num_classes)

    return make_forward(build, network_key(config, num_classes))


def make_forward(build: Callable[[], Any], about: Any) -> StoredStep:
    """forward(variables, batch) -> vertex logits [devices, V_0, K]; the batch has the leading device axis too.

    It runs on the devices of this process alone. The network is built and traced only if no earlier process has traced
    it for batches of this size.

    Args:
        build: the network, a `flax.linen.Module`.
        about: JSON values that determine it.
    """

    def make() -> Callable:
        model = build()

        def forward(variables: dict, batch):
            return model.apply(variables, batch, train=False).vertex

        return parallel.pmap_step(forward, in_axes=(None, 0), out_axes=0, local=True)

    about = ["vmnet_jax.learn.inference.make_forward", about]
    return StoredStep(make, about, describe=pass_size, custom_calls=custom_calls)


def pass_size(variables: dict, batch: SceneBatch) -> str:
    """The size of a call of `make_forward`'s, for the log."""
    return f"a pass of {batch.features.shape[1]} voxels and {batch.vertex_labels.shape[1]} vertices"


def fitting_batches(
    forward: Callable,
    variables: dict,
    read: Callable[[str], Scene],
    names: list[str],
    max_voxels: int = 0,
    *,
    known: dict[Sizes, StepMemory] | None = None,
    **how: Any,
) -> tuple[EvaluationBatches, TileSet]:
    """Batches of whole scenes where they fit, of overlapping tiles where not.

    Args:
        max_voxels: voxels of level 0 that a pass may have; 0 asks the compiler whether the largest pass fits the
            device.
        known: buckets that are compiled and fit, with what a pass of them needs, which the compiler is not asked for
            again; grows.
        how: further arguments of `EvaluationBatches`. Its `votes` should be those that the scenes will be seen in, so
            that the largest pass is known.
    """
    known = {} if known is None else known
    tiles = TileSet(read, names, max_voxels, "--max_voxels")
    batches = EvaluationBatches(tiles, tiles.names, **how)
    if max_voxels or batches.buckets[-1] in known:
        return batches, tiles
    needed, there = pass_memory(forward, variables, batches), device_memory()
    if needed.total <= there:
        known[batches.buckets[-1]] = needed
        return batches, tiles
    # The tiles' rung is the highest that fits, with a tenth of its rows to spare for margins and placements.
    fitting = rows_below(batches.buckets[-1].voxels[0] * there / needed.total)
    most = max(len(read(name).voxels.coords[0]) for name in names)
    limit = int(0.9 * fitting * most / max(sizes.voxels[0] for sizes in batches.sizes))
    tiles = TileSet(read, names, limit, f"a memory of {there / GIB:.1f} GiB")
    return EvaluationBatches(tiles, tiles.names, **how), tiles


def warn_of_single_scenes(config: ConfigDict, scenes_per_batch: int) -> None:
    """Logs it if a network that normalises over its whole batch sees each scene alone, unlike in its training."""
    normalised = config.layer_norm_scope == "batch" and model_name(config) not in WITHOUT_LAYER_NORM
    if normalised and scenes_per_batch == 1 < config.batch_size:
        _log.warning(
            "The network normalises over the scenes of a batch (config.layer_norm_scope). It was trained on %d scenes "
            "together and sees each alone here; see --scenes_per_batch",
            config.batch_size,
        )


def pass_memory(forward: Callable, variables: dict, batches: EvaluationBatches) -> StepMemory:
    """What a pass of the largest bucket needs; compiles it, which is logged, unless it is stored."""
    arrays = parallel.stack([batches.largest()] * parallel.num_local_devices())
    return step_memory(forward, variables, arrays)


def scene_scores(
    forward: Callable,
    variables: dict,
    batches: EvaluationBatches,
    tiles: TileSet,
    votes: int = 1,
    *,
    on_pass_done: Callable[[], object] = lambda: None,
    read_out: str = TRACE,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (place in `tiles.scenes`, logits float32 [V, K] of the file's vertices) of every scene once, in order.

    The logits of all votes are summed.

    Args:
        forward: from `make_forward`.
        variables: on the local devices (`parallel.to_devices`).
        batches: of the tiles.
        votes: placements a scene is seen in; 1 is the unaugmented one, N are N random rigid ones.
        on_pass_done: called when a group of tiles has been seen in one placement, for progress bars.
        read_out: see `vmnet_jax.prediction.read_out.file_vertex_scores`.
    """
    joined = None
    with contextlib.closing(_passes(forward, variables, batches, votes)) as passes:
        for group in batches.groups:
            totals: dict[str, np.ndarray] = {}
            for logits in itertools.islice(passes, votes):
                for name in (batches.names[index] for index in group):
                    scene = tiles(name)
                    scores = file_vertex_scores(scene, logits, read_out)
                    totals[name] = totals[name] + scores if name in totals else scores
                    logits = logits[len(scene.level_vertices[0]) :]
                on_pass_done()
            for name, scores in totals.items():
                tile = tiles.tiles[name]
                if tile.inside is not None:
                    joined = np.zeros((len(tile.inside), scores.shape[1]), np.float32) if joined is None else joined
                    joined[tile.scored] = scores[tile.scored[tile.inside]]
                if tile.last:
                    yield tile.scene, scores if tile.inside is None else joined
                    joined = None


def _passes(forward: Callable, variables: dict, batches: EvaluationBatches, votes: int) -> Iterator[np.ndarray]:
    """Vertex logits float32 [V_0, K] of every group in each vote, group by group."""
    devices = parallel.num_local_devices()
    tasks = [(group, vote) for group in range(len(batches.groups)) for vote in votes_of(votes)]
    chunks = [tasks[i : i + devices] for i in range(0, len(tasks), devices)]

    def load(number: int):
        chunk = chunks[number]
        return parallel.stack(batches(chunk + chunk[:1] * (devices - len(chunk))))

    with Prefetch(load, 0, len(chunks), workers=LOADER_THREADS, depth=LOADER_THREADS) as loaded:
        for chunk, batch in zip(chunks, loaded):
            yield from np.asarray(jax.device_get(forward(variables, batch)), np.float32)[: len(chunk)]


def evaluate_scenes(
    forward: Callable,
    variables: dict,
    batches: EvaluationBatches,
    tiles: TileSet,
    num_classes: int,
    *,
    votes: int = 1,
    read_out: str = TRACE,
) -> np.ndarray:
    """Confusion int64 [K predicted, K true] over all labelled vertices of the files of all scenes of the tiles."""
    table = np.zeros((num_classes, num_classes), np.int64)
    for index, scores in scene_scores(forward, variables, batches, tiles, votes, read_out=read_out):
        labels = tiles.read(tiles.scenes[index]).labels
        if labels is not None:
            table += np.asarray(confusion(scores.argmax(1), labels, num_classes), np.int64)
    return table
