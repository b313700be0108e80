"""Initial variables: the bits that flax draws, the range, and tracing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainlib.core.config import load_config_file
from vmnet_jax.data.batching import empty_batch
from vmnet_jax.learn.build import build_model
from vmnet_jax.model.init import init_variables, symmetric_uniform

WIDTHS = ("widths=(3, 4)", "geo_width=5")


@pytest.fixture(scope="module")
def problem():
    model = build_model(load_config_file("configs/vmnet_rooms.py:smoke", WIDTHS), 3)
    return model, empty_batch(3, levels=2), jax.random.key(7)


def test_they_are_those_of_flax_bit_by_bit(problem):
    model, batch, rng = problem
    ours = init_variables(model, rng, batch)
    theirs = jax.jit(lambda key, b: model.init(key, b, train=False))(rng, batch)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for own, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs)):
        assert isinstance(own, jax.Array)
        assert own.dtype == other.dtype
        np.testing.assert_array_equal(own, other)
    leaves = [leaf.ravel() for leaf in jax.tree.leaves(ours["params"]) if leaf.size > 50]
    assert len({leaf[:5].tobytes() for leaf in map(np.asarray, leaves)}) == len(leaves)


def test_weights_of_sixteen_bits(problem):
    model, batch, rng = problem
    model = model.clone(param_dtype=jnp.bfloat16)
    ours = init_variables(model, rng, batch)["params"]
    shapes = jax.eval_shape(lambda key: model.init(key, batch, train=False), rng)["params"]
    assert jax.tree.map(lambda a: (a.shape, a.dtype), ours) == jax.tree.map(lambda a: (a.shape, a.dtype), shapes)
    kernel = np.asarray(ours["euclidean"]["head"]["kernel"], np.float32)
    assert 0.1 < np.abs(kernel).max() <= 3**-0.5


def test_under_a_transformation_they_are_traced(problem):
    model, batch, _ = problem
    shapes = jax.eval_shape(lambda: init_variables(model, jax.random.key(0), batch))
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(shapes))


def test_draws_lie_within_the_bound_and_fill_it():
    values = np.asarray(symmetric_uniform(0.25)(jax.random.key(0), (1000,), jnp.float32))
    assert values.min() < -0.24
    assert values.max() > 0.24
    assert (np.abs(values) <= 0.25).all()
    assert abs(values.mean()) < 0.02
