"""The whole network, narrow and of three levels: what must not change its results (padding, order of vertices, company
in a batch, number of devices), and the arrays that it holds. In float64, so that the limits are tight."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from tests.vmnet_jax.data.sample_tools import bucket_of, double, finest_levels, permuted
from tests.vmnet_jax.model.parity_batch import load_formula
from trainlib.run import parallel
from vmnet_jax.data import placement
from vmnet_jax.data.batching import Sizes, collate, empty_batch, sample_sizes
from vmnet_jax.data.sample import Sample, make_sample
from vmnet_jax.learn.losses import scene_loss
from vmnet_jax.model.torch_names import TORCH_NAMES, from_state_dict, to_state_dict
from vmnet_jax.model.vmnet import VMNet

LEVELS = 3
NARROW = {"num_classes": 3, "widths": (4, 6, 8), "geo_width": 4}
CLOSE = {"rtol": 1e-9, "atol": 1e-11}


class Results(NamedTuple):
    """Of one batch: logits in both modes, metrics, gradients and new running statistics."""

    evaluated: tuple
    trained: tuple
    metrics: dict
    gradients: dict
    batch_stats: dict


def run(variables, batch, axis_name=None) -> Results:
    model = VMNet(**NARROW, axis_name=axis_name)

    def loss_fn(params):
        logits, updated = model.apply({**variables, "params": params}, batch, True, mutable="batch_stats")
        loss, metrics = scene_loss(logits, batch, axis_name)
        return loss, (logits, metrics, updated["batch_stats"])

    gradients, (logits, metrics, batch_stats) = jax.grad(loss_fn, has_aux=True)(variables["params"])
    if axis_name is not None:
        gradients = jax.lax.psum(gradients, axis_name)
    return Results(model.apply(variables, batch, False), logits, metrics, gradients, batch_stats)


run_on_one = jax.jit(run)


def run_double(variables, batch) -> Results:
    with jax.enable_x64(True):
        return jax.device_get(run_on_one(double(variables), double(batch)))


def shapes_of(model: VMNet) -> dict:
    batch = empty_batch(3, levels=len(model.widths))
    return flatten_dict(jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), batch))


@pytest.fixture(scope="module")
def variables(fixtures):
    """Weights and statistics by the formula of the parity fixtures, whose gains keep activations near one."""
    formula, ours = load_formula(fixtures / "vmnet"), {}
    for path, leaf in shapes_of(VMNet(**NARROW)).items():
        name, shape = TORCH_NAMES[path], leaf.shape or (1,)
        transposed = name.endswith(".weight")
        value = formula.value(name, shape[::-1] if transposed else shape, 0)
        ours[path] = (value.T if transposed else value).reshape(leaf.shape)
    return unflatten_dict(ours)


@pytest.fixture(scope="module")
def samples(scenes) -> list[Sample]:
    rng = np.random.default_rng(0)
    placements = [placement.training_placement(s.vertices, 0.1, rng) for s in scenes[:4]]
    return [make_sample(finest_levels(s, LEVELS), p, ("rgb",), 4, rng) for s, p in zip(scenes, placements)]


@pytest.fixture(scope="module")
def bucket(samples):
    return bucket_of(samples, 3)


@pytest.fixture(scope="module")
def reference(variables, samples, bucket) -> Results:
    return run_double(variables, collate(samples, bucket))


def assert_same_training(ours: Results, theirs: Results):
    """Metrics, gradients and running statistics."""
    for name in ("metrics", "gradients", "batch_stats"):
        first, second = flatten_dict(getattr(ours, name)), flatten_dict(getattr(theirs, name))
        assert first.keys() == second.keys()
        for key, value in first.items():
            np.testing.assert_allclose(value, second[key], **CLOSE, err_msg=f"{name} {key}")


def counts(samples: list[Sample]) -> tuple[list[int], list[int]]:
    return [len(s.voxel_labels) for s in samples], [len(s.vertex_labels) for s in samples]


def test_parameters_of_the_published_size():
    flat = shapes_of(VMNet())
    assert flat.keys() == TORCH_NAMES.keys()
    number = sum(a.size for path, a in flat.items() if path[0] == "params")
    assert number == 17_463_910 - 40  # the original counts 40 scalars (lin_edge) that it never uses


def test_every_parameter_learns(reference):
    for path, gradient in flatten_dict(reference.gradients).items():
        if path[-2:] == ("key", "bias"):  # the softmax does not see a shift of all keys
            np.testing.assert_allclose(gradient, 0, atol=1e-12)
        else:
            assert gradient.any(), path


def test_padding_rows_of_the_logits_are_zero(samples, reference):
    voxels, vertices = (sum(n) for n in counts(samples))
    for logits in (reference.evaluated, reference.trained):
        assert not logits.voxel[voxels:].any()
        assert not logits.vertex[vertices:].any()


def test_more_padding_changes_nothing(variables, samples, reference):
    voxels, vertices = (sum(n) for n in counts(samples))
    larger = run_double(variables, collate(samples, bucket_of(samples, 17)))
    for ours, theirs in ((larger.evaluated, reference.evaluated), (larger.trained, reference.trained)):
        np.testing.assert_allclose(ours.voxel[:voxels], theirs.voxel[:voxels], **CLOSE)
        np.testing.assert_allclose(ours.vertex[:vertices], theirs.vertex[:vertices], **CLOSE)
    assert_same_training(larger, reference)


def test_order_of_vertices_does_not_matter(variables, samples, bucket, reference):
    rng = np.random.default_rng(5)
    moved, places = zip(*(permuted(s, rng) for s in samples))
    assert any((s.keep[0] != m.keep[0]).any() for s, m in zip(samples, moved))
    results = run_double(variables, collate(list(moved), bucket))
    _, vertices = counts(samples)
    place = np.concatenate([p + start for p, start in zip(places, np.cumsum([0, *vertices]))])
    for ours, theirs in ((results.evaluated, reference.evaluated), (results.trained, reference.trained)):
        np.testing.assert_allclose(ours.voxel, theirs.voxel, **CLOSE)
        np.testing.assert_allclose(ours.vertex[place], theirs.vertex[: len(place)], **CLOSE)
    assert_same_training(results, reference)


def test_scene_alone_is_the_scene_in_a_batch(variables, samples, bucket, reference):
    voxels, vertices = counts(samples)
    for which in (0, 2):
        alone = collate([samples[which]], bucket)
        scene = tuple(np.where(s == 1, len(samples), s).astype(np.int32) for s in alone.vertex_scene)
        logits = run_double(
            variables, dataclasses.replace(alone, num_scenes=len(samples), vertex_scene=scene)
        ).evaluated
        start, end = sum(voxels[:which]), sum(voxels[: which + 1])
        np.testing.assert_allclose(logits.voxel[: voxels[which]], reference.evaluated.voxel[start:end], **CLOSE)
        start, end = sum(vertices[:which]), sum(vertices[: which + 1])
        np.testing.assert_allclose(logits.vertex[: vertices[which]], reference.evaluated.vertex[start:end], **CLOSE)


def test_four_devices_are_one(variables, samples, reference):
    assert parallel.num_devices() == len(samples)
    sizes = [sample_sizes(s) for s in samples]
    bucket = Sizes(*(tuple(max(rows) + 1 for rows in zip(*part)) for part in zip(*sizes)))
    step = parallel.pmap_step(functools.partial(run, axis_name=parallel.AXIS), in_axes=(None, 0), out_axes=0)
    with jax.enable_x64(True):
        on_devices = parallel.to_devices(jax.tree.map(np.float64, variables))
        batch = parallel.stack([collate([s], bucket) for s in samples])
        features = batch.features.astype(jnp.float64)
        every = jax.device_get(step(on_devices, dataclasses.replace(batch, features=features)))
        results = jax.tree.map(lambda a: a[0], every)
    assert_same_training(results, reference)
    for leaf in jax.tree.leaves((every.metrics, every.gradients, every.batch_stats)):
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))
    _, vertices = counts(samples)
    joined = np.concatenate([logits[:n] for logits, n in zip(every.trained.vertex, vertices)])
    np.testing.assert_allclose(joined, reference.trained.vertex[: len(joined)], **CLOSE)


def test_one_width_for_each_level():
    model = VMNet(widths=(4, 8))
    with pytest.raises(ValueError, match="7 levels, got 2"):
        jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), empty_batch(3))


def test_state_dict_there_and_back():
    rng = np.random.default_rng(0)
    variables = {path: rng.standard_normal(leaf.shape) for path, leaf in shapes_of(VMNet(geo_width=4)).items()}
    state = to_state_dict(unflatten_dict(variables))
    assert len(state) == len(TORCH_NAMES)
    back = flatten_dict(from_state_dict(state))
    for path, array in variables.items():
        np.testing.assert_array_equal(back[path], array)
    del state["Euc_branch.mid.0.kernel"]
    with pytest.raises(KeyError, match=r"lacks 1 of .*Euc_branch\.mid\.0\.kernel"):
        from_state_dict(state)
