"""Several scenes in one batch of an evaluation: nothing changes for a network that normalises each scene by itself; for
one that normalises the batch, the scores are those of the scenes joined by hand."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest

from trainlib.core.config import load_config_file
from trainlib.run import parallel
from vmnet_jax.data.batching import add_sizes, collate, empty_batch, plan_buckets, sample_sizes
from vmnet_jax.data.scenes import EvaluationBatches
from vmnet_jax.learn.inference import fitting_batches, make_forward, scene_scores, warn_of_single_scenes
from vmnet_jax.model.layers import GraphLayerNorm, Linear, TransformerConv
from vmnet_jax.model.vmnet import Logits

HOW = {"features": ("rgb",), "rotation": "z", "max_buckets": 2, "seed": 0}
SCOPES = pytest.mark.parametrize("scope", ["scene", "batch"])


class SmallNetwork(nn.Module):
    """The voxels' features at the vertices, one attention along the mesh, one normalisation."""

    layer_norm_scope: str

    @nn.compact
    def __call__(self, batch, train: bool) -> Logits:
        table, graph = batch.corners[0], batch.graph(0)
        x = (batch.features[table.corners] * table.weights[..., None]).sum(1)
        x = TransformerConv(8)(x, x, graph)
        x = GraphLayerNorm(self.layer_norm_scope)(x, graph)
        return Logits(None, Linear(3)(x))


@functools.cache
def network(scope):
    """(model, its variables, the forward pass)."""
    model = SmallNetwork(scope)
    variables = jax.jit(lambda key: model.init(key, empty_batch(3), train=False))(jax.random.key(0))
    return model, variables, make_forward(lambda: model, scope)


def scores(scope, scenes, scenes_per_batch, votes=1):
    """Summed logits [V, 3] of the file's vertices of each scene."""
    _, variables, forward = network(scope)
    by_name = {scene.name: scene for scene in scenes}
    variables = parallel.to_devices(variables)
    how = {**HOW, "votes": votes, "scenes_per_batch": scenes_per_batch}
    batches, tiles = fitting_batches(forward, variables, by_name.__getitem__, list(by_name), 10**6, **how)
    return [found for _, found in scene_scores(forward, variables, batches, tiles, votes)]


def joint_scores(scope, scenes, votes=1):
    """The same of all scenes in one batch that is put together here, without the classes of the evaluation."""
    model, variables, _ = network(scope)
    by_name = {scene.name: scene for scene in scenes}
    single = EvaluationBatches(by_name.__getitem__, list(by_name), **HOW)
    apply = jax.jit(lambda variables, batch: model.apply(variables, batch, train=False).vertex)
    totals = [0] * len(scenes)
    for vote in range(1) if votes == 1 else range(1, votes + 1):
        samples = [single.sample(index, vote) for index in range(len(scenes))]
        (bucket,) = plan_buckets([add_sizes([sample_sizes(s) for s in samples])], 1)
        logits = np.asarray(apply(variables, collate(samples, bucket)))
        starts = np.cumsum([0, *(len(scene.level_vertices[0]) for scene in scenes)])
        for k, scene in enumerate(scenes):
            totals[k] = totals[k] + logits[starts[k] : starts[k + 1]][scene.traces[0]]
    return totals


def difference(ours, theirs):
    return max(np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True))


def test_a_network_that_normalises_each_scene_gives_the_same_scores_in_any_company(scenes):
    alone = scores("scene", scenes[:5], 1)
    for together in (2, 5, 9):
        assert difference(scores("scene", scenes[:5], together), alone) < 1e-4


def test_a_network_that_normalises_the_batch_gives_the_scores_of_the_joint_batch(scenes):
    """In batches of three the last two of five scenes make a batch."""
    whole, parts = scores("batch", scenes[:5], 5), scores("batch", scenes[:5], 3)
    assert difference(whole, joint_scores("batch", scenes[:5])) < 1e-4
    assert difference(parts[:3], joint_scores("batch", scenes[:3])) < 1e-4
    assert difference(parts[3:], joint_scores("batch", scenes[3:5])) < 1e-4
    assert difference(scores("batch", scenes[:5], 1), whole) > 0.01


@SCOPES
def test_votes_of_several_scenes_in_one_batch(scenes, scope):
    assert difference(scores(scope, scenes[:2], 2, votes=2), joint_scores(scope, scenes[:2], votes=2)) < 1e-4


def test_tiles_are_put_together_again(scenes):
    """Three tiles and more in batches of two, against one at a time."""
    _, variables, forward = network("scene")
    read = {scene.name: scene for scene in scenes[:2]}
    variables, limit = parallel.to_devices(variables), len(scenes[0].voxels.coords[0]) // 2

    def tiled(scenes_per_batch):
        how = {**HOW, "scenes_per_batch": scenes_per_batch}
        batches, tiles = fitting_batches(forward, variables, read.__getitem__, list(read), limit, **how)
        assert len(tiles.names) >= 5
        return [found for _, found in scene_scores(forward, variables, batches, tiles)]

    assert difference(tiled(2), tiled(1)) < 1e-4


def test_a_network_that_normalises_the_batch_is_warned_of_when_it_sees_single_scenes(caplog):
    config = load_config_file("configs/vmnet_scannet.py")
    config.layer_norm_scope = "batch"
    with caplog.at_level("WARNING"):
        warn_of_single_scenes(config, 8)
        for changes in ({"layer_norm_scope": "scene"}, {"model": "euclidean"}, {"batch_size": 1}):
            other = config.copy_and_resolve_references()
            other.update(changes)
            warn_of_single_scenes(other, 1)
        assert not caplog.text
        warn_of_single_scenes(config, 1)
    assert "trained on 8 scenes together and sees each alone here; see --scenes_per_batch" in caplog.text
