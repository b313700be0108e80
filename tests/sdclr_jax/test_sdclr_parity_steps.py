"""The training step against the original's: losses, every gradient, running statistics, three steps with momentum."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sdclr_jax.model import ContrastiveNet
from sdclr_jax.optim import sgd
from sdclr_jax.prune import apply_masks, magnitude_masks
from sdclr_jax.step import TrainState, make_train_step, sdclr_loss
from sdclr_jax.torch_names import named_arrays, to_state_dict

pytestmark = pytest.mark.parity

SDCLR = {"sdclr_step_r18": ContrastiveNet("resnet18"), "sdclr_step_r32s": ContrastiveNet("resnet32_s")}
SIMCLR = ContrastiveNet("resnet18", head_layers=2, num_bn_sets=1)
NO_TRUE_GRADIENT = "fc.fc1.bias"


def norms(arrays, names):
    return np.array([np.linalg.norm(np.asarray(arrays[name], np.float64)) for name in names])


class Run:
    """Steps of one stored experiment in one precision: states before the first and after every step, and losses."""

    def __init__(self, model, stored, weights, batches, pruned, dtype):
        self.sets, self.momentum, self.weight_decay = model.num_bn_sets, 0.9, 1e-4
        if pruned:
            self.momentum, self.weight_decay = float(stored["momentum"]), float(stored["weight_decay"])
        tx = sgd(float(stored["lr"]), self.momentum, self.weight_decay)
        masks = magnitude_masks(weights["params"], float(stored["prune_fraction"])) if pruned else {}
        step = jax.jit(make_train_step(model, tx, pruned))
        params, stats = (jax.tree.map(lambda a: jnp.asarray(a, dtype), weights[c]) for c in ("params", "batch_stats"))
        state = TrainState(jnp.int32(0), params, stats, tx.init(params), masks)
        self.states, self.losses = [jax.tree.map(np.asarray, state)], []
        for views in batches:
            state, metrics = step(state, jnp.asarray(views, dtype), None, float(stored["temperature"]))
            self.states.append(jax.tree.map(np.asarray, state))
            self.losses.append(float(metrics["loss"]))
        self.grad_norm = float(metrics["grad_norm"])

    def params(self, i):
        return named_arrays(self.states[i].params, "params", self.sets)

    def gradients(self):
        """Of the first step: its momentum buffer less the weight decay."""
        first = self.states[1].opt_state[1].trace
        grads = jax.tree.map(lambda buf, w: buf - self.weight_decay * w, first, self.states[0].params)
        return named_arrays(grads, "params", self.sets)

    def moved(self, i):
        before, after = self.params(0), self.params(i)
        return {name: after[name].astype(np.float64) - before[name] for name in before}

    def buffers(self, updates):
        state = self.states[1]
        return to_state_dict({"params": state.params, "batch_stats": state.batch_stats}, updates)


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
    masks = named_arrays(run.states[0].masks)
    names = [f"{layer}.weight" for layer in stored["mask_names"]]
    assert set(names) == set(masks)
    assert [masks[n].sum() for n in names] == list(stored["mask_kept"])
    assert [masks[n].size for n in names] == list(stored["mask_total"])
    assert [tools.mask_digest(masks[n]) for n in names] == list(stored["mask_sha256_packbits"])


@pytest.mark.parametrize("name", SDCLR)
def test_first_step_in_float64(name, sdclr_run, tools):
    stored, _, _, run = sdclr_run(name, "float64")
    tools.assert_close_in_norm([run.losses[0]] * 2, stored["loss64"], 1e-9)
    tools.assert_close_in_norm(run.losses[0], stored["loss_joint64"], 1e-9)
    names = list(map(str, stored["param_names"]))
    grads = run.gradients()
    assert set(names) == set(grads)
    true = [i for i, n in enumerate(names) if n != NO_TRUE_GRADIENT]
    for i in true:
        tools.assert_close_in_norm(norms(grads, [names[i]])[0], stored["grad_norm64"][i], 1e-9, names[i])
    assert np.linalg.norm(grads[NO_TRUE_GRADIENT]) < 1e-9 * stored["grad_norm64"].max()
    for key in [key for key in stored.keys() if key.startswith("grad64/")]:  # noqa: SIM118
        tools.assert_close_in_norm(grads[key.removeprefix("grad64/")], stored[key], 1e-9, key)
    tools.assert_close_in_norm(norms(run.params(1), names), stored["param_norm_after64"], 1e-9)

    after = run.buffers((1, 2))
    for key in [key for key in stored.keys() if key.startswith("after")]:  # noqa: SIM118
        if key.startswith("after64/"):
            tools.assert_close_in_norm(after[key.removeprefix("after64/")], stored[key], 1e-9, key)
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
            loss = functools.partial(sdclr_loss, model)
            return jax.grad(loss, argnums=(0, 1), has_aux=True)(
                params,
                apply_masks(params, masks),
                weights["batch_stats"],
                jnp.asarray(views, jnp.float64),
                None,
                float(stored["temperature"]),
            )[0]

        dense, pruned = passes(weights["params"], run.states[0].masks)
        dense, pruned = named_arrays(dense), named_arrays(apply_masks(pruned, run.states[0].masks))
    names = [n for n in map(str, stored["param_names"]) if n != NO_TRUE_GRADIENT]
    rows = [i for i, n in enumerate(stored["param_names"]) if n != NO_TRUE_GRADIENT]
    tools.assert_close_in_norm(norms(dense, names), stored["grad_norm_dense_pass64"][rows], 1e-9)
    tools.assert_close_in_norm(norms(pruned, names), stored["grad_norm_prune_pass64"][rows], 1e-9)
    joint = run.gradients()
    difference = [np.linalg.norm(dense[n] + pruned[n] - joint[n]) / np.linalg.norm(joint[n]) for n in names]
    assert max(difference) == pytest.approx(float(stored["two_pass_vs_joint_max_rel_f64"]), abs=1e-9)


@pytest.mark.parametrize("name", SDCLR)
def test_three_steps_in_float64(name, sdclr_run, tools):
    stored, _, _, run = sdclr_run(name, "float64")
    names = list(map(str, stored["param_names"]))
    tools.assert_close_in_norm(np.repeat(run.losses, 2), stored["three_losses64"], 1e-9)
    tools.assert_close_in_norm(norms(run.params(3), names), stored["three_param_norm_after64"], 1e-9)
    tools.assert_close_in_norm(norms(run.moved(3), names), stored["three_delta_norm64"], 1e-9)


@pytest.mark.parametrize("name", SDCLR)
def test_steps_in_float32(name, sdclr_run, tools):
    """Norms within 1 %; single gradients within 5 %: a ReLU that flips moves them by up to 1 % in either program."""
    stored, _, _, run = sdclr_run(name, "float32")
    names = list(map(str, stored["param_names"]))
    true = [i for i, n in enumerate(names) if n != NO_TRUE_GRADIENT]
    grads = run.gradients()
    tools.assert_close_in_norm([run.losses[0]] * 2, stored["loss"], 1e-5)
    ratios = norms(grads, [names[i] for i in true]) / stored["grad_norm"][true]
    assert np.abs(ratios - 1).max() < 0.01
    sums = np.array([grads[n].sum(dtype=np.float64) for n in names])
    sizes = np.array([grads[n].size for n in names])
    assert np.all(np.abs(sums - stored["grad_sum"])[true] < 0.01 * (stored["grad_norm"] * np.sqrt(sizes))[true])
    firsts = np.array([np.resize(grads[n].ravel()[:8], 8) for n in names])
    assert np.all(np.abs(firsts - stored["grad_first8"]).max(1)[true] < 0.05 * stored["grad_norm"][true])
    tools.assert_close_in_norm(norms(run.params(1), names), stored["param_norm_after"], 1e-5)
    ratios = norms(run.moved(1), names)[true] / stored["param_delta_norm"][true]
    assert np.abs(ratios - 1).max() < 0.01
    after = run.buffers((1, 2))
    own_errors, compared = [], []
    for key in [key for key in stored.keys() if key.startswith(("grad/", "after/"))]:  # noqa: SIM118
        kind, what = key.split("/")
        tolerance = 0.05 if kind == "grad" else 1e-5
        tools.assert_close_in_norm((grads if kind == "grad" else after)[what], stored[key], tolerance, key)
        if kind == "grad":
            exact = stored[f"grad64/{what}"]
            own_errors.append(np.linalg.norm(stored[key] - exact) / np.linalg.norm(exact))
            compared.append(names.index(what))
    tools.assert_close_to_largest(own_errors, stored["grad_relerr_f32_vs_f64"][compared], 1e-2)
    assert stored["two_pass_vs_joint_max_rel_f32"] < 1e-6

    tools.assert_close_in_norm(np.repeat(run.losses, 2), stored["three_losses"], 0.03)
    tools.assert_close_in_norm(norms(run.params(3), names), stored["three_param_norm_after"], 3e-3)
    tools.assert_close_in_norm(norms(run.moved(3), names), stored["three_delta_norm"], 0.03)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_simclr_step(dtype, open_fixture, network_weights, formula, tools):
    stored = open_fixture("sdclr/simclr_step_r18.npz")
    views = formula.batch(stored["images_u8"]).transpose(1, 0, 3, 4, 2)
    exact, suffix = dtype == "float64", "64" if dtype == "float64" else ""
    with jax.enable_x64(exact):
        run = Run(SIMCLR, stored, network_weights(SIMCLR), [views], False, dtype)
    names = list(map(str, stored["param_names"]))
    true = [i for i, n in enumerate(names) if n != NO_TRUE_GRADIENT]
    grads = run.gradients()
    assert set(names) == set(grads)
    tools.assert_close_in_norm(run.losses, stored["loss" + suffix], 1e-9 if exact else 1e-5)
    ratios = norms(grads, [names[i] for i in true]) / stored["grad_norm" + suffix][true]
    assert np.abs(ratios - 1).max() < (1e-9 if exact else 0.01)
    assert run.grad_norm == pytest.approx(np.linalg.norm(stored["grad_norm" + suffix]), rel=1e-9 if exact else 0.01)
    key = "conv1.weight"
    tools.assert_close_in_norm(grads[key], stored[f"grad{suffix}/{key}"], 1e-9 if exact else 0.01)
    tools.assert_close_in_norm(
        norms(run.params(1), names), stored["param_norm_after" + suffix], 1e-9 if exact else 1e-6
    )
    for key in ("bn1.running_mean", "bn1.running_var"):
        array = stored[f"after{suffix}/{key}"]
        tools.assert_close_in_norm(run.buffers((1, 0))[key], array, 1e-9 if exact else 1e-5)
    if not exact:
        sums = np.array([grads[n].sum(dtype=np.float64) for n in names])
        sizes = np.sqrt([grads[n].size for n in names])
        assert np.all(np.abs(sums - stored["grad_sum"])[true] < 0.01 * (stored["grad_norm"] * sizes)[true])


def test_every_array_was_compared(open_fixture):
    for name in (*SDCLR, "simclr_step_r18"):
        assert not open_fixture(f"sdclr/{name}.npz").unread
