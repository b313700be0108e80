"""The training step: devices, padding, masks, and what it must leave alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from sdclr_jax.learn.masks import apply_masks, magnitude_masks
from sdclr_jax.learn.optim import sgd
from sdclr_jax.learn.step import contrastive_loss, create_state, make_train_step
from trainlib.run import parallel

SHAPE = (8, 8, 3)
LR, TEMPERATURE = 0.1, 0.3


def views_of(count, seed=0):
    return np.random.default_rng(seed).random((2, count, *SHAPE))


def start(model, tx, pruned, fraction=0.6):
    """A state in the precision of the moment (float64 under x64)."""
    state = create_state(model, tx, jax.random.key(0), SHAPE, pruned)
    dtype = jnp.asarray(0.0).dtype
    params, stats = jax.tree.map(lambda a: a.astype(dtype), (state.params, state.batch_stats))
    masks = magnitude_masks(params, fraction) if pruned else {}
    return state.replace(params=params, batch_stats=stats, opt_state=tx.init(params), masks=masks)


def assert_trees_close(a, b, tolerance):
    for (path, x), y in zip(jax.tree.leaves_with_path(a), jax.tree.leaves(b)):
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        assert np.abs(x - y).max() <= tolerance * max(np.abs(y).max(), 1), jax.tree_util.keystr(path)


@pytest.fixture(scope="module")
def on_one_device(tiny_net):
    """on_one_device(pruned) -> (network, optimiser, jitted step), which the tests share: few programs are compiled."""

    @functools.cache
    def build(pruned):
        model, tx = tiny_net(num_bn_sets=2 if pruned else 1), sgd(LR, weight_decay=1e-2)
        return model, tx, jax.jit(make_train_step(model, tx, pruned))

    return build


@pytest.mark.parametrize("pruned", [True, False])
def test_one_device_and_four_agree_on_a_padded_batch(on_one_device, pruned):
    """Six images on one device, and on four devices of two rows each, the last one without a real image."""
    alone, tx, step = on_one_device(pruned)
    views = views_of(6)
    with jax.enable_x64(True):
        state = start(alone, tx, pruned)
        expected, metrics = step(state, views, None, TEMPERATURE)

        spread = alone.clone(axis_name=parallel.AXIS)
        padded = (
            np.concatenate([views, np.full((2, 2, *SHAPE), 7.0)], 1)
            .reshape(2, 4, 2, *SHAPE)
            .transpose(1, 0, 2, 3, 4, 5)
        )
        rows = (np.arange(8) < 6).reshape(4, 2)
        step = parallel.pmap_step(make_train_step(spread, tx, pruned), in_axes=(None, 0, 0, None))
        states, spread_metrics = step(
            parallel.to_devices(state),
            parallel.stack(list(padded)),
            parallel.stack(list(rows)),
            parallel.to_devices(np.float64(TEMPERATURE)),
        )
    for name in metrics:
        np.testing.assert_allclose(spread_metrics[name], float(metrics[name]), rtol=1e-10)
    assert_trees_close(parallel.to_host(states), expected, 1e-10)


def test_padding_changes_nothing(on_one_device):
    """Loss, gradients and running statistics of 6 images, alone and with 3 padding rows of rubbish."""
    model, tx, step = on_one_device(True)
    views = views_of(6)
    rubbish = np.concatenate([views, np.full((2, 3, *SHAPE), np.nan)], 1)
    rows = np.arange(9) < 6
    with jax.enable_x64(True):
        state = start(model, tx, True)
        expected, metrics = step(state, views, None, TEMPERATURE)
        actual, padded_metrics = step(state, rubbish, rows, TEMPERATURE)
    np.testing.assert_allclose(padded_metrics["loss"], metrics["loss"], rtol=1e-12)
    assert_trees_close(actual, expected, 1e-10)


def test_masked_weights_get_a_gradient_from_the_dense_branch_alone(tiny_net):
    model = tiny_net()
    state = start(model, sgd(LR), True)

    @jax.jit
    def passes(params, pruned_base, views):
        def loss(dense, base):
            pruned = apply_masks(base, state.masks)
            how = {"rows": None, "temperature": TEMPERATURE}
            return contrastive_loss(model, dense, pruned, state.batch_stats, views, **how)[0]

        return jax.grad(loss, argnums=(0, 1))(params, pruned_base)

    dense, pruned = passes(state.params, state.params, views_of(4).astype(np.float32))
    masks, dense, pruned = (traverse_util.flatten_dict(tree) for tree in (state.masks, dense, pruned))
    for path, mask in masks.items():
        assert not np.any(pruned[path][~mask]), path
        assert np.any(pruned[path][mask]), path
        assert np.all(mask) or np.any(dense[path][~mask]), path


def test_a_step_trains_masked_weights_and_leaves_masks_alone(on_one_device):
    model, tx, step = on_one_device(True)
    state = start(model, tx, True)
    after, _ = step(state, views_of(8).astype(np.float32), None, TEMPERATURE)
    assert after.step == 1
    before, moved = state.params["backbone"]["conv1"]["kernel"], after.params["backbone"]["conv1"]["kernel"]
    dropped = ~state.masks["backbone"]["conv1"]["kernel"]
    assert dropped.any()
    assert np.mean((before != moved)[dropped]) > 0.9
    for a, b in zip(jax.tree.leaves(state.masks), jax.tree.leaves(after.masks)):
        np.testing.assert_array_equal(a, b)
    assert jax.tree.structure(state) == jax.tree.structure(after)


def test_the_loss_falls_and_runs_repeat_bit_for_bit(on_one_device):
    model, tx, step = on_one_device(True)
    views = views_of(8).astype(np.float32)

    def run():
        state, losses = start(model, tx, True), []
        for _ in range(10):
            state, metrics = step(state, views, None, TEMPERATURE)
            losses.append(float(metrics["loss"]))
        return state, losses

    (first, losses), (second, repeated) = run(), run()
    assert losses[-1] < 0.8 * losses[0]
    assert losses == repeated
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second)):
        np.testing.assert_array_equal(a, b)


def test_half_precision_activations(tiny_net):
    """bfloat16 in convolutions and products: parameters, statistics and loss stay float32."""
    model, tx = tiny_net(dtype=jnp.bfloat16), optax.sgd(LR)
    state = start(model, tx, True)
    after, metrics = jax.jit(make_train_step(model, tx, True))(state, views_of(4).astype(np.float32), None, TEMPERATURE)
    assert metrics["loss"].dtype == jnp.float32
    assert np.isfinite(metrics["loss"])
    assert {leaf.dtype for leaf in jax.tree.leaves((after.params, after.batch_stats))} == {jnp.dtype("float32")}
