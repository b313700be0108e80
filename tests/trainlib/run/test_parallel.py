"""State on every device, batches per device, and reductions over them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainlib.run import parallel

STATE = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.int32(5)}


@pytest.fixture(scope="module")
def train_step():
    """One step of gradient descent on a sum of squares over all devices' rows."""

    def step(state, batch):
        def loss(w):
            total, count = jnp.sum((batch["x"] @ w) ** 2), jnp.float32(len(batch["x"]))
            return jax.lax.psum(total, parallel.AXIS) / jax.lax.psum(count, parallel.AXIS)

        value, gradient = jax.value_and_grad(loss)(state["w"])
        gradient = jax.lax.psum(gradient, parallel.AXIS) / parallel.num_devices()
        return {"w": state["w"] - 0.1 * gradient, "step": state["step"] + 1}, value

    return parallel.pmap_step(step, in_axes=(None, 0), donate_argnums=(0,))


def make_batches(rng):
    return [{"x": rng.normal(size=(2, 2)).astype(np.float32)} for _ in range(parallel.num_devices())]


def test_the_suite_has_several_devices():
    assert parallel.num_devices() == jax.local_device_count() > 1


def test_to_the_devices_and_back():
    spread = parallel.to_devices(STATE)
    assert spread["w"].shape == (2, 3)
    assert len({shard.device for shard in spread["w"].addressable_shards}) == parallel.num_devices()
    assert all(shard.data.shape == (2, 3) for shard in spread["w"].addressable_shards)
    back = parallel.to_host(spread)
    np.testing.assert_array_equal(back["w"], STATE["w"])
    assert back["w"].dtype == np.float32
    assert (int(back["step"]), back["step"].dtype) == (5, np.int32)


def test_stack_puts_each_batch_on_its_device():
    batches = make_batches(np.random.default_rng(0))
    stacked = parallel.stack(batches)
    for shard, device, batch in zip(stacked["x"].addressable_shards, jax.local_devices(), batches):
        assert shard.device == device
        np.testing.assert_array_equal(np.asarray(shard.data)[0], batch["x"])


def test_stack_refuses_missing_and_unlike_batches():
    with pytest.raises(ValueError, match=f"{parallel.num_devices()} devices, got 1"):
        parallel.stack([STATE])
    unlike = [{"x": np.zeros(3, np.float32)}] * (parallel.num_devices() - 1) + [{"x": np.zeros(4, np.float32)}]
    with pytest.raises(ValueError, match=r"differ .*\(3,\).*\(4,\)"):
        parallel.stack(unlike)


def test_a_step_over_devices_equals_the_same_step_on_one(train_step):
    batches = make_batches(np.random.default_rng(1))
    state = {"w": np.float32([[0.5, -1], [2, 0.25]]), "step": np.int32(0)}
    spread, loss = train_step(parallel.to_devices(state), parallel.stack(batches))
    rows = np.concatenate([batch["x"] for batch in batches])
    gradient = 2 * rows.T @ (rows @ state["w"]) / len(rows)
    np.testing.assert_allclose(loss, ((rows @ state["w"]) ** 2).sum() / len(rows), rtol=1e-5)
    np.testing.assert_allclose(parallel.to_host(spread)["w"], state["w"] - 0.1 * gradient, rtol=1e-5, atol=1e-6)
    for shard in spread["w"].addressable_shards:
        np.testing.assert_array_equal(shard.data, parallel.to_host(spread)["w"])


def test_donated_state_is_reused_and_a_copy_on_the_host_survives_it(train_step):
    state = parallel.to_devices({"w": np.float32([[0.5, -1], [2, 0.25]]), "step": np.int32(0)})
    batch = parallel.stack(make_batches(np.random.default_rng(2)))
    kept = parallel.to_host(state)
    before = jax.tree.map(np.copy, kept)
    after, _ = train_step(state, batch)
    assert state["w"].is_deleted()
    train_step(after, batch)[1].block_until_ready()
    jax.tree.map(np.testing.assert_array_equal, kept, before)
