"""What a checkpoint keeps, which ones are kept, and what fits which state."""

import os
import subprocess
import sys

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from trainlib.core.errors import CheckpointError
from trainlib.run import parallel
from trainlib.store.checkpoints import CheckpointStore


@flax.struct.dataclass
class State:
    params: dict
    opt_state: tuple
    step: jax.Array
    masks: dict
    key: jax.Array
    epoch: int


def make_state(seed=0):
    rng = np.random.default_rng(seed)
    params = {
        "conv": {"kernel": rng.normal(size=(3, 4)).astype(np.float32)},
        "half": jnp.full((5,), 1 / 3, jnp.bfloat16),
    }
    opt_state = optax.sgd(0.1, momentum=0.9).init(params)
    masks = {"conv": rng.random((3, 4)) < 0.5}
    key = jax.random.key_data(jax.random.key(seed))
    return State(params, opt_state, jnp.int32(seed), masks, key, epoch=2**40 + seed)


def assert_same(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right)):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.fixture
def store(tmp_path):
    with CheckpointStore(tmp_path / "checkpoints") as opened:
        yield opened


def test_a_state_comes_back_bit_for_bit_in_its_own_types(store):
    assert store.save(7, make_state(3))
    restored, step = store.restore(make_state(0))
    assert step == 7
    assert_same(restored, make_state(3))
    assert type(restored.epoch) is int
    assert isinstance(restored.opt_state[0], optax.TraceState)


def test_a_target_may_be_abstract(store):
    store.save(1, make_state(3))
    abstract = jax.eval_shape(lambda: make_state(0).params)
    full = make_state(0).replace(params=abstract)
    assert_same(store.restore(full)[0], make_state(3))


def test_anyone_can_read_it_with_plain_orbax(store):
    store.save(7, make_state(3))
    with ocp.PyTreeCheckpointer() as reader:
        tree = reader.restore(store.directory / "7" / "state")
    np.testing.assert_array_equal(tree["params"]["conv"]["kernel"], make_state(3).params["conv"]["kernel"])


def test_read_gives_everything_without_a_target(store):
    store.save(7, make_state(3))
    tree, step = store.read()
    assert step == 7
    assert set(tree) == {"params", "opt_state", "step", "masks", "key", "epoch"}
    assert tree["params"]["half"].dtype == jnp.bfloat16


def test_the_newest_and_the_best_are_kept(tmp_path):
    with CheckpointStore(tmp_path, keep=2) as store:
        for step, metric in [(10, 0.1), (20, 0.9), (30, 0.9), (40, None), (50, 0.2), (60, 0.3)]:
            store.save(step, {"x": np.float32(step)}, metric)
        assert store.steps() == [20, 50, 60]
        assert (store.latest_step(), store.best_step()) == (60, 20)
        for name, step in [("last", 60), ("best", 20), (50, 50), ("50", 50)]:
            restored, found = store.restore({"x": np.float32(0)}, name)
            assert (found, float(restored["x"])) == (step, step)


def test_a_figure_and_notes_of_a_step(store):
    for step in (10, 20):
        store.save(step, {"x": np.float32(step)}, notes={"count": step, "sums": {"loss": 0.1}})
    assert store.best_step() is None
    store.score(10, 0.5)
    assert store.best_step() == 10
    assert store.notes(10) == {"count": 10, "sums": {"loss": 0.1}}
    assert store.read("best", strict=True)[1] == 10
    with pytest.raises(CheckpointError, match="figure is inf"):
        store.score(20, float("inf"))


def test_going_back_drops_the_abandoned_future(store, caplog):
    for step in (10, 20, 30):
        store.save(step, {"x": np.float32(step)}, metric=step)
    store.save(15, {"x": np.float32(15)}, metric=0)
    assert store.steps() == [10, 15]
    assert "step 30 dropped" in caplog.text
    assert store.best_step() == 10


def test_a_step_can_be_saved_again(store):
    store.save(5, {"x": np.float32(1)})
    store.save(5, {"x": np.float32(2)}, metric=1.0)
    assert float(store.restore({"x": np.float32(0)})[0]["x"]) == 2
    assert store.best_step() == 5


def test_nothing_there_and_an_unknown_step_are_errors(store):
    assert (store.steps(), store.latest_step(), store.best_step()) == ([], None, None)
    with pytest.raises(CheckpointError, match=r"step 'last' in .*checkpoints; it has no checkpoint"):
        store.restore(make_state())
    store.save(5, {"x": np.float32(1)})
    with pytest.raises(CheckpointError, match=r"step 6 .* it has the steps 5"):
        store.read(6)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* has a validation figure.* it has the steps 5"):
        store.read("best")
    with pytest.raises(CheckpointError, match="last, best or a number, not 'newest'"):
        store.read("newest")


def test_every_misfit_is_listed_and_nothing_is_cast(store):
    store.save(1, {"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.float32), "old": np.int32(1)})
    with pytest.raises(CheckpointError) as refusal:
        store.restore({"a": np.zeros((2, 3), jnp.bfloat16), "b": np.zeros(5, np.float32), "new": np.int32(1)})
    assert str(refusal.value).splitlines()[1:] == [
        "  a: float32[2, 3], expected bfloat16[2, 3]",
        "  b: float32[4], expected float32[5]",
        "  new: absent, expected int32[]",
        "  old: int32[], expected absent",
    ]


def test_a_bad_state_or_figure_is_never_written(store):
    store.save(1, {"x": np.float32(1)})
    for bad in (np.nan, -np.inf):
        with pytest.raises(CheckpointError, match="step 2 not saved: params/w has 1 values that are NaN or Inf"):
            store.save(2, {"params": {"w": np.array([0, bad], np.float32)}})
    with pytest.raises(CheckpointError, match="step 2 not saved: params/w has 3 values"):
        store.save(2, {"params": {"w": jnp.full((3,), jnp.nan, jnp.bfloat16)}}, retry_later=True)
    with pytest.raises(CheckpointError, match="figure is nan"):
        store.save(2, {"x": np.float32(1)}, metric=float("nan"))
    assert store.steps() == [1]


def test_states_without_names_and_typed_keys_are_refused(store):
    with pytest.raises(ValueError, match="not a bare array"):
        store.save(1, np.zeros(3))
    with pytest.raises(TypeError, match=r"rng is a typed random key.*key_data"):
        store.save(1, {"rng": jax.random.key(0)})


def linear_step(state, batch):
    """Momentum descent on the mean square over all devices' rows."""

    def loss(w):
        return jax.lax.psum(jnp.sum((batch @ w) ** 2), parallel.AXIS) / 8

    value, gradient = jax.value_and_grad(loss)(state["w"])
    momentum = 0.9 * state["m"] + jax.lax.psum(gradient, parallel.AXIS) / jax.lax.psum(1.0, parallel.AXIS)
    return {"w": state["w"] - 0.05 * momentum, "m": momentum}, value


def continue_training(directory, start, stop):
    """Losses of steps start..stop; resumes from the last checkpoint, saves at the end."""
    state = {"w": np.float32([1, -2, 0.5]), "m": np.zeros(3, np.float32)}
    step = parallel.pmap_step(linear_step, in_axes=(None, 0))
    losses = []
    with CheckpointStore(directory) as store:
        if start:
            state, found = store.restore(state)
            assert found == start
        state = parallel.to_devices(state)
        for number in range(start, stop):
            rows = np.random.default_rng(number).normal(size=(8, 3)).astype(np.float32)
            state, loss = step(state, parallel.stack(np.split(rows, parallel.num_devices())))
            losses.append(float(loss))
        store.save(stop, parallel.to_host(state))
    return losses


def test_a_run_goes_on_with_another_number_of_devices(tmp_path):
    assert parallel.num_devices() == 4
    expected = continue_training(tmp_path, 0, 2) + continue_training(tmp_path, 2, 4)
    elsewhere = tmp_path / "one"
    first = continue_training(elsewhere, 0, 2)
    code = f"import runpy, sys; m = runpy.run_path({__file__!r}); print(*m['continue_training'](sys.argv[1], 2, 4))"
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=1", "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", code, str(elsewhere)], env=environment, capture_output=True, text=True, check=True
    )
    np.testing.assert_allclose(first + [float(word) for word in done.stdout.split()], expected, rtol=1e-6)
    np.testing.assert_allclose(
        CheckpointStore(elsewhere).read(4)[0]["w"], CheckpointStore(tmp_path).read(4)[0]["w"], rtol=1e-5
    )
