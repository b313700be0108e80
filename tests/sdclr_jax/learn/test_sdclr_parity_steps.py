"""The training step against the original's: losses, every gradient, running statistics, three steps with momentum."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdclr_jax.learn.masks import apply_masks, magnitude_masks
from sdclr_jax.learn.optim import sgd
from sdclr_jax.learn.step import TrainState, contrastive_loss, make_train_step
from sdclr_jax.model.contrastive import ContrastiveNet
from sdclr_jax.model.torch_names import named_arrays, to_state_dict
from tests.parity_tools import Float32, assert_close_in_norm, assert_close_to_largest, assert_each_close

pytestmark = pytest.mark.parity

SDCLR = {"sdclr_step_r18": ContrastiveNet("resnet18"), "sdclr_step_r32s": ContrastiveNet("resnet32_s")}
SIMCLR = ContrastiveNet("resnet18", head_layers=2, num_bn_sets=1)
NO_TRUE_GRADIENT = "fc.fc1.bias"


def norms(arrays, names):
    return np.array([np.linalg.norm(np.asarray(arrays[name], np.float64)) for name in names])


class Run:
    """Steps of one stored experiment in one precision: losses, and of the states what the tests compare."""

    def __init__(self, model, stored, weights, batches, pruned, dtype):
        self.sets, self.momentum, self.weight_decay = model.num_bn_sets, 0.9, 1e-4
        if pruned:
            self.momentum, self.weight_decay = float(stored["momentum"]), float(stored["weight_decay"])
        tx = sgd(float(stored["lr"]), self.momentum, self.weight_decay)
        masks = magnitude_masks(weights["params"], float(stored["prune_fraction"])) if pruned else {}
        step = jax.jit(make_train_step(model, tx, pruned))
        params, stats = (jax.tree.map(lambda a: jnp.asarray(a, dtype), weights[c]) for c in ("params", "batch_stats"))
        state = TrainState(jnp.int32(0), params, stats, tx.init(params), masks)
        self.masks, self._params = jax.tree.map(np.asarray, (masks, {0: params}))
        self.losses = []
        for i, views in enumerate(batches, start=1):
            state, metrics = step(state, jnp.asarray(views, dtype), None, float(stored["temperature"]))
            if i == 1:
                self.first = jax.tree.map(np.asarray, state)
            self.losses.append(float(metrics["loss"]))
        self._params |= {1: self.first.params, len(batches): jax.tree.map(np.asarray, state.params)}
        self.grad_norm = float(metrics["grad_norm"])

    def params(self, i):
        """Before the first step (0), after it (1), after the last."""
        return named_arrays(self._params[i], "params", self.sets)

    def gradients(self):
        """Of the first step: its momentum buffer less the weight decay."""
        first = self.first.opt_state[1].trace
        grads = jax.tree.map(lambda buf, w: buf - self.weight_decay * w, first, self._params[0])
        return named_arrays(grads, "params", self.sets)

    def moved(self, i):
        before, after = self.params(0), self.params(i)
        return {name: after[name].astype(np.float64) - before[name] for name in before}

    def buffers(self, updates):
        return to_state_dict({"params": self.first.params, "batch_stats": self.first.batch_stats}, updates)


@pytest.fixture(scope="module")
def sdclr_run(open_fixture, network_weights, formula):
    """sdclr_run(name, dtype) -> (file, weights, views of the first batch, Run of three steps)."""

    @functools.cache
    def build(name, dtype):
        stored, model = open_fixture(f"sdclr/{name}.npz"), SDCLR[name]
        weights = network_weights(model)
        batches = [formula.batch(images).transpose(1, 0, 3, 4, 2) for images in stored["images_u8"]]
        with jax.enable_x64(dtype == "float64"):
            return stored, weights, batches[0], Run(model, stored, weights, batches, True, dtype)

    return build


@pytest.mark.parametrize("name", SDCLR)
def test_masks_of_the_first_step(name, sdclr_run, tools):
    stored, _, _, run = sdclr_run(name, "float64")
    masks = named_arrays(run.masks)
    names = [f"{layer}.weight" for layer in stored["mask_names"]]
    assert set(names) == set(masks)
    assert [masks[n].sum() for n in names] == list(stored["mask_kept"])
    assert [masks[n].size for n in names] == list(stored["mask_total"])
    assert [tools.mask_digest(masks[n]) for n in names] == list(stored["mask_sha256_packbits"])


@pytest.mark.parametrize("name", SDCLR)
def test_first_step_in_float64(name, sdclr_run):
    stored, _, _, run = sdclr_run(name, "float64")
    assert_close_in_norm([run.losses[0]] * 2, stored["loss64"], 1e-9)
    assert_close_in_norm(run.losses[0], stored["loss_joint64"], 1e-9)
    names = list(map(str, stored["param_names"]))
    grads = run.gradients()
    assert set(names) == set(grads)
    true = [i for i, n in enumerate(names) if n != NO_TRUE_GRADIENT]
    for i in true:
        assert_close_in_norm(norms(grads, [names[i]])[0], stored["grad_norm64"][i], 1e-9, names[i])
    assert np.linalg.norm(grads[NO_TRUE_GRADIENT]) < 1e-9 * stored["grad_norm64"].max()
    for key in [key for key in stored.keys() if key.startswith("grad64/")]:  # noqa: SIM118
        assert_close_in_norm(grads[key.removeprefix("grad64/")], stored[key], 1e-9, key)
    assert_close_in_norm(norms(run.params(1), names), stored["param_norm_after64"], 1e-9)

    after = run.buffers((1, 2))
    for key in [key for key in stored.keys() if key.startswith("after")]:  # noqa: SIM118
        if key.startswith("after64/"):
            assert_close_in_norm(after[key.removeprefix("after64/")], stored[key], 1e-9, key)
        elif key.endswith("num_batches_tracked"):
            assert after[key.removeprefix("after/")] == stored[key]


@pytest.mark.parametrize("name", SDCLR)
def test_the_joint_gradient_is_the_sum_of_the_two_passes(name, sdclr_run, tools):
    stored, weights, views, run = sdclr_run(name, "float64")
    model = SDCLR[name]
    with jax.enable_x64(True):
        weights = tools.as_double(weights)

        @jax.jit
        def passes(params, masks):
            loss = functools.partial(contrastive_loss, model)
            return jax.grad(loss, argnums=(0, 1), has_aux=True)(
                params,
                apply_masks(params, masks),
                weights["batch_stats"],
                jnp.asarray(views, jnp.float64),
                rows=None,
                temperature=float(stored["temperature"]),
            )[0]

        dense, pruned = passes(weights["params"], run.masks)
        dense, pruned = named_arrays(dense), named_arrays(apply_masks(pruned, run.masks))
    names = [n for n in map(str, stored["param_names"]) if n != NO_TRUE_GRADIENT]
    rows = [i for i, n in enumerate(stored["param_names"]) if n != NO_TRUE_GRADIENT]
    assert_close_in_norm(norms(dense, names), stored["grad_norm_dense_pass64"][rows], 1e-9)
    assert_close_in_norm(norms(pruned, names), stored["grad_norm_prune_pass64"][rows], 1e-9)
    joint = run.gradients()
    difference = [np.linalg.norm(dense[n] + pruned[n] - joint[n]) / np.linalg.norm(joint[n]) for n in names]
    assert max(difference) == pytest.approx(float(stored["two_pass_vs_joint_max_rel_f64"]), abs=1e-9)


@pytest.mark.parametrize("name", SDCLR)
def test_three_steps_in_float64(name, sdclr_run):
    stored, _, _, run = sdclr_run(name, "float64")
    names = list(map(str, stored["param_names"]))
    assert_close_in_norm(np.repeat(run.losses, 2), stored["three_losses64"], 1e-9)
    assert_close_in_norm(norms(run.params(3), names), stored["three_param_norm_after64"], 1e-9)
    assert_close_in_norm(norms(run.moved(3), names), stored["three_delta_norm64"], 1e-9)


@pytest.mark.parametrize("name", SDCLR)
def test_steps_in_float32(name, sdclr_run):
    """Norms within 1 %; single gradients within 5 %: a ReLU that flips moves them by up to 1 % in either program."""
    stored, _, _, run = sdclr_run(name, "float32")
    names = list(map(str, stored["param_names"]))
    true = [i for i, n in enumerate(names) if n != NO_TRUE_GRADIENT]
    grads, own_errors = run.gradients(), stored.peek("grad_relerr_f32_vs_f64")
    assert_close_in_norm([run.losses[0]] * 2, stored.float32("loss", twin="loss64"), 1e-5)
    check_gradient_sums(stored, grads, names, true, own_errors)
    firsts = np.array([np.resize(grads[n].ravel()[:8], 8) for n in names])
    differences = np.abs(firsts - stored["grad_first8"]).max(1)
    sizes = stored["grad_norm"]
    theirs = Float32(np.zeros(len(true)), None, (own_errors * sizes)[true], stored.known)
    assert_each_close(differences[true], theirs, 0.05 * sizes[true], [names[i] for i in true], scale=sizes[true])
    assert_close_in_norm(norms(run.params(1), names), with_twin(stored, "param_norm_after"), 1e-5)
    moved, theirs = norms(run.moved(1), names)[true], stored["param_delta_norm"][true]
    learning_rate = float(stored["lr"])
    own_error = learning_rate * (own_errors * sizes)[true]
    theirs = Float32(theirs, None, own_error, stored.known)
    assert_each_close(moved, theirs, 0.01 * theirs.value, [names[i] for i in true])
    check_stored_in_full(stored, grads, run.buffers((1, 2)), names)
    assert stored["two_pass_vs_joint_max_rel_f32"] < max(1e-6, 2 * own_errors[true].max())

    assert_close_in_norm(np.repeat(run.losses, 2), with_twin(stored, "three_losses"), 0.03)
    assert_close_in_norm(norms(run.params(3), names), with_twin(stored, "three_param_norm_after"), 3e-3)
    assert_close_in_norm(norms(run.moved(3), names), with_twin(stored, "three_delta_norm"), 0.03)


def with_twin(stored, key):
    return stored.float32(key, twin=f"{key}64")


def check_gradient_sums(stored, grads, names, true, own_errors):
    """Norms and sums of all gradients; own_errors [N]: the original's, relative to the gradients' norms."""
    own_errors = np.broadcast_to(own_errors, len(names))
    sizes, labels = stored["grad_norm"], [names[i] for i in true]
    theirs = Float32(sizes[true], stored.peek("grad_norm64")[true], (own_errors * sizes)[true], stored.known)
    assert_each_close(norms(grads, labels), theirs, 0.01 * sizes[true], labels)
    bounds = (sizes * np.sqrt([grads[n].size for n in names]))[true]
    sums = np.array([grads[n].sum(dtype=np.float64) for n in labels])
    theirs = Float32(stored["grad_sum"][true], None, own_errors[true] * bounds, stored.known)
    assert_each_close(sums, theirs, 0.01 * bounds, labels, scale=bounds)


def check_stored_in_full(stored, grads, after, names):
    """Gradients and running statistics that are stored as arrays, and the original's own errors in the former."""
    own_errors, compared = [], []
    for key in [key for key in stored.keys() if key.startswith(("grad/", "after/"))]:  # noqa: SIM118
        kind, what = key.split("/")
        if what.endswith("num_batches_tracked"):
            assert after[what] == stored[key], key
            continue
        theirs = stored.float32(key, twin=f"{kind}64/{what}")
        arrays, tolerance = (grads, 0.05) if kind == "grad" else (after, 1e-5)
        assert_close_in_norm(arrays[what], theirs, tolerance, key)
        if kind == "grad":
            own_errors.append(np.linalg.norm(theirs.value - theirs.exact) / np.linalg.norm(theirs.exact))
            compared.append(names.index(what))
    assert_close_to_largest(own_errors, stored["grad_relerr_f32_vs_f64"][compared], 1e-2)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_simclr_step(dtype, open_fixture, network_weights, formula):
    stored = open_fixture("sdclr/simclr_step_r18.npz")
    views = formula.batch(stored["images_u8"]).transpose(1, 0, 3, 4, 2)
    exact = dtype == "float64"
    with jax.enable_x64(exact):
        run = Run(SIMCLR, stored, network_weights(SIMCLR), [views], False, dtype)
    names = list(map(str, stored["param_names"]))
    true = [i for i, n in enumerate(names) if n != NO_TRUE_GRADIENT]
    grads, first = run.gradients(), "conv1.weight"
    assert set(names) == set(grads)

    def check(ours, key, twin, tolerance):
        assert_close_in_norm(ours, stored[twin] if exact else stored.float32(key, twin), 1e-9 if exact else tolerance)

    check(run.losses, "loss", "loss64", 1e-5)
    check(grads[first], f"grad/{first}", f"grad64/{first}", 0.01)
    check(norms(run.params(1), names), "param_norm_after", "param_norm_after64", 1e-6)
    for key in ("bn1.running_mean", "bn1.running_var"):
        check(run.buffers((1, 0))[key], f"after/{key}", f"after64/{key}", 1e-5)
    if exact:
        labels, expected = [names[i] for i in true], stored["grad_norm64"][true]
        assert_each_close(norms(grads, labels), expected, 1e-9 * expected, labels)
        assert run.grad_norm == pytest.approx(np.linalg.norm(stored["grad_norm64"]), rel=1e-9)
    else:
        rounded, twin = stored.peek(f"grad/{first}"), stored.peek(f"grad64/{first}")
        own_error = np.linalg.norm(rounded - twin) / np.linalg.norm(twin)  # of the last layer that backward reaches
        check_gradient_sums(stored, grads, names, true, own_error)
        total = np.linalg.norm(stored["grad_norm"])
        assert_close_in_norm(run.grad_norm, Float32(total, None, own_error * total, stored.known), 0.01)


def test_every_array_was_compared(open_fixture):
    for name in (*SDCLR, "simclr_step_r18"):
        assert not open_fixture(f"sdclr/{name}.npz").unread
