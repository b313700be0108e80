"""The other networks, of three levels, on whole batches: padding, order of vertices, translation, sizes; inputs."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from kernels.host.mesh.radius import radius_graph
from tests.vmnet_jax.data.sample_tools import bucket_of, double, finest_levels, permuted
from trainlib.core.config import load_config_file
from trainlib.core.errors import UserError
from vmnet_jax.data import placement as augment
from vmnet_jax.data import sample as sampling
from vmnet_jax.data.batching import collate, empty_batch
from vmnet_jax.data.sample import feature_width, make_sample
from vmnet_jax.learn.build import build_model, build_optimizer, build_state
from vmnet_jax.learn.losses import scene_loss
from vmnet_jax.learn.network_settings import MODELS, vertex_inputs
from vmnet_jax.learn.step import is_head, make_train_step

VARIANTS = {
    "euclidean": ("model=euclidean",),
    "geodesic": ("model=geodesic",),
    "geodesic_edgeconv": ("model=geodesic", "operator=edgeconv"),
    "baseline": ("model=baseline",),
    "baseline_intra": ("model=baseline_intra",),
    "vector": ("operator=vector",),
    "edgeconv": ("operator=edgeconv",),
    "dcm": ("model=dcm", "features=('xyz', 'rgb', 'normals')", "dcm_radii=(0.2, 0.4, 0.8)"),
}
WHOLE = ("geodesic", "edgeconv", "dcm")  # those whose gradients are compiled
LEVELS = 3
NARROW = (
    "widths=(4, 6, 8)",
    "geo_width=4",
    "dcm_geo_widths=(3, 3, 2)",
    "dcm_euc_widths=(2, 2, 4)",
    "dcm_neighbours=6",
)
CLOSE = {"rtol": 1e-9, "atol": 1e-10}


def config_of(name):
    return load_config_file("configs/vmnet_meshes.py:smoke", (*NARROW, *VARIANTS[name]))


def samples_of(config, scenes):
    rng = np.random.default_rng(0)
    placements = [augment.training_placement(s.vertices, 0.1, rng) for s in scenes[:2]]
    finest = [finest_levels(scene, LEVELS) for scene in scenes[:2]]
    how, vertices = (tuple(config.features), 4, rng), vertex_inputs(config)
    return [make_sample(scene, placement, *how, vertices=vertices) for scene, placement in zip(finest, placements)]


def evaluator(config):
    """evaluate(variables, batch) -> logits and gradients of the training loss, compiled once for each size."""
    model = build_model(config, 3).clone(dtype=None)

    @jax.jit
    def evaluate(variables, batch):
        def loss_fn(params):
            logits, _ = model.apply({**variables, "params": params}, batch, True, mutable="batch_stats")
            return scene_loss(logits, batch)[0], logits

        return jax.grad(loss_fn, has_aux=True)(variables["params"])

    def in_double(variables, batch):
        with jax.enable_x64(True):
            return jax.device_get(evaluate(double(variables), double(batch)))

    return in_double


def variables_of(config):
    state = build_state(config, 3, LEVELS)
    return {"params": state.params, "batch_stats": state.batch_stats}


@pytest.fixture(scope="module", params=WHOLE)
def problem(request, scenes):
    """(name, config, samples, variables, evaluator, its results for the samples)."""
    config = config_of(request.param)
    samples, variables, evaluate = samples_of(config, scenes), variables_of(config), evaluator(config)
    return request.param, samples, variables, evaluate, evaluate(variables, collate(samples, bucket_of(samples, 3)))


def test_every_parameter_learns(problem):
    for path, gradient in flatten_dict(problem[-1][0]).items():
        assert np.isfinite(gradient).all()
        assert gradient.any() or path[-2:] == ("key", "bias"), path


def test_order_of_vertices_does_not_matter(problem):
    _, samples, variables, evaluate, (gradients, logits) = problem
    rng = np.random.default_rng(5)
    moved, places = zip(*(permuted(s, rng) for s in samples))
    other_gradients, other = evaluate(variables, collate(list(moved), bucket_of(samples, 3)))
    starts = np.cumsum([0, *(len(s.vertex_labels) for s in samples)])
    place = np.concatenate([p + start for p, start in zip(places, starts)])
    np.testing.assert_allclose(other.vertex[place], logits.vertex[: len(place)], **CLOSE)
    assert not logits.vertex[len(place) :].any()
    assert_same(other_gradients, gradients)


def test_more_padding_changes_nothing(problem):
    name, samples, variables, evaluate, (gradients, logits) = problem
    if name == "edgeconv":
        pytest.skip("the operator is tested by itself, the rest is VMNet's")
    more, larger = evaluate(variables, collate(samples, bucket_of(samples, 20)))
    rows = sum(len(s.vertex_labels) for s in samples)
    np.testing.assert_allclose(larger.vertex[:rows], logits.vertex[:rows], **CLOSE)
    assert larger.voxel is None
    assert_same(more, gradients)


def assert_same(ours, theirs):
    theirs = flatten_dict(theirs)
    for path, value in flatten_dict(ours).items():
        np.testing.assert_allclose(value, theirs[path], rtol=1e-7, atol=1e-9, err_msg=str(path))


def test_dcm_does_not_see_a_translation(problem):
    name, samples, variables, evaluate, (_, logits) = problem
    if name != "dcm":
        pytest.skip("reads no positions")
    batch = collate(samples, bucket_of(samples, 3))
    shift = np.where(np.arange(9) < 3, 5.0, 0) * (batch.vertex_scene[0] < 2)[:, None]
    moved = evaluate(
        variables, dataclasses.replace(batch, vertex_features=batch.vertex_features.astype(float) + shift)
    )[1]
    np.testing.assert_allclose(moved.vertex, logits.vertex, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_step_has_the_shapes_of_its_state(name):
    """Traced only: state, metrics, heads; networks without voxels have no voxel loss."""
    config = config_of(name)
    state = jax.eval_shape(lambda: build_state(config, 3, LEVELS))
    batch = empty_batch(feature_width(tuple(config.features)), vertex_inputs(config), LEVELS)
    step = make_train_step(build_model(config, 3), build_optimizer(config), None)
    new, metrics = jax.eval_shape(step, state, batch)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), new) == jax.tree.map(lambda a: (a.shape, a.dtype), state)
    on_vertices = config.model in ("geodesic", "dcm")
    assert ("voxel_loss" in metrics) == (not on_vertices)
    heads = [path for path in flatten_dict(state.params) if is_head(path)]
    assert len(heads) == (2 if on_vertices or config.model == "euclidean" else 4)


def test_published_sizes():
    """DCM-Net has 0.76 million parameters."""
    config = load_config_file("configs/vmnet_scannet.py", ("model=dcm", "features=('xyz', 'rgb', 'normals')"))
    shapes = jax.eval_shape(lambda: build_state(config, 20)).params
    assert 0.75e6 < sum(leaf.size for leaf in jax.tree.leaves(shapes)) < 0.77e6


def test_vertex_inputs_by_hand(scenes):
    """Level-0 features are means over the file's vertices in it; neighbours in space are those of the levels."""
    scene, config = scenes[0], config_of("dcm")
    sample = make_sample(scene, None, ("xyz", "rgb"), vertices=vertex_inputs(config))
    centred = scene.vertices - scene.vertices.mean(0)
    for vertex in (0, 7, len(scene.level_vertices[0]) - 1):
        members = scene.traces[0] == vertex
        expected = [*centred[members].mean(0), *(scene.colors[members].astype(float) * 2 / 255 - 1).mean(0)]
        np.testing.assert_allclose(sample.vertex_features[vertex], expected, atol=1e-5)
    for level, radius in enumerate(config.dcm_radii):
        near = radius_graph(scene.level_vertices[level], radius, 6, np.random.default_rng(0))
        np.testing.assert_array_equal(sample.radius_rings[level].ring, near.ring)
        assert sample.radius_edge_mask[level].sum() == (near.ring >= 0).sum() > 0
    thinned = make_sample(scene, None, ("xyz",), 2, np.random.default_rng(1), vertices=vertex_inputs(config))
    assert thinned.radius_edge_mask[0].sum() < sample.radius_edge_mask[0].sum()
    plain, dual = (
        make_sample(scene, None, ("rgb",), 4, np.random.default_rng(2), vertices=v)
        for v in (None, vertex_inputs(config))
    )
    for a, b in zip(plain.keep, dual.keep, strict=True):  # the published network's draws stay what they are
        np.testing.assert_array_equal(a, b)


def test_the_radius_graph_of_a_scene_is_built_once(scenes, monkeypatch):
    """In any placement, while the scene is in memory; another scene of the same arrays has its own."""
    scene, other = (dataclasses.replace(scenes[0]) for _ in range(2))
    vertices, built = vertex_inputs(config_of("dcm")), []
    monkeypatch.setattr(sampling, "radius_graph", lambda *how: built.append(how) or radius_graph(*how))
    placement = augment.training_placement(scene.vertices, scene.params["voxel_size"], np.random.default_rng(0))
    first, second = (make_sample(scene, p, ("rgb",), vertices=vertices) for p in (None, placement))
    assert first.radius_rings is second.radius_rings
    assert len(built) == len(vertices.radii)
    make_sample(scene, None, ("rgb",), vertices=vertices._replace(max_neighbours=3))
    make_sample(other, None, ("rgb",), vertices=vertices)
    assert len(built) == 3 * len(vertices.radii)


def test_choices_of_the_config():
    config = config_of("euclidean")
    assert vertex_inputs(config) is None
    config.model = "unet"
    with pytest.raises(UserError, match=f"known are {', '.join(MODELS)}"):
        build_model(config, 3)
    config.model, config.operator = "vmnet", "mean"
    with pytest.raises(UserError, match="known are scalar, vector, edgeconv"):
        build_model(config, 3)
    del config["model"], config["operator"]
    assert (build_model(config, 3).operator, build_model(config, 3).inter) == ("scalar", True)


def test_dcm_needs_neighbours_at_each_of_its_levels():
    config = config_of("dcm")
    config.dcm_radii = (0.1, 0.2)
    with pytest.raises(ValueError, match="neighbours in space at 2 levels"):
        jax.eval_shape(lambda: build_state(config, 3))


def test_euclidean_logits_at_vertices_are_those_of_the_features(scenes):
    """Reading the logits out equals the head on the read-out of the features, since the weights sum to one."""
    config = config_of("euclidean")
    (sample, _), variables = samples_of(config, scenes), variables_of(config)
    batch = collate([sample], bucket_of([sample], 3))
    model = build_model(config, 3)
    logits, seen = jax.jit(lambda v, b: model.apply(v, b, False, capture_intermediates=True))(variables, batch)
    features = np.asarray(seen["intermediates"]["euclidean"]["__call__"][0][1][0])
    head = variables["params"]["euclidean"]["head"]
    corners, weights = sample.corners[0], sample.weights[0]
    read_out = (features[corners] * weights[..., None]).sum(1)
    expected = read_out @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    near = weights.any(1)
    assert near.mean() > 0.99
    np.testing.assert_allclose(logits.vertex[: len(corners)][near], expected[near], atol=1e-4)


@pytest.mark.parametrize("model", ["euclidean", "baseline", "dcm"])
def test_an_operator_without_a_place_is_refused(model):
    config = load_config_file("configs/vmnet_rooms.py:smoke", (f"model={model}", "operator=vector"))
    with pytest.raises(UserError, match=f"operator is 'vector', but the network of config.model '{model}' has no"):
        build_model(config, 3)


def test_widths_that_come_as_lists_make_the_same_network():
    config = load_config_file("configs/vmnet_rooms.py")
    listed = ConfigDict(json.loads(config.to_json()))
    assert isinstance(listed.widths, list)
    assert hash(build_model(listed, 3)) == hash(build_model(config, 3))
