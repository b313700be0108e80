"""The whole network against the stored results of the original program: outputs, intermediate features, losses over
four steps, gradients and running statistics, in float32 and in float64."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from tests.parity_tools import (
    NO_TWIN,
    Float32,
    assert_close_in_norm,
    assert_close_to_largest,
    assert_each_close,
    largest,
)
from tests.vmnet_jax.model.parity_batch import load_formula, parity_batch, read_entries, read_seed, state_dict
from vmnet_jax.learn.losses import scene_loss
from vmnet_jax.learn.optim import poly_schedule, sgd_dampened
from vmnet_jax.model.torch_names import from_state_dict, to_state_dict
from vmnet_jax.model.vmnet import VMNet

pytestmark = pytest.mark.parity

FILES = ("vmnet/net_eval.npz", "vmnet/net_train.npz")
TOP = 6
KEY_BIAS_NOISE = 1e-7  # absolute; these gradients are zero but for rounding
PARTS = {"i": "merge", "geo": "aggregation", "o": "output"}
OPTIMIZED = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}
"""The rounding errors of training in float32 are those of XLA's usual program; its quickly compiled one has larger
ones."""


def model(shift: str = "global") -> VMNet:
    return VMNet(layer_norm_scope="batch", attention_shift=shift)


def cast(tree, dtype):
    """Floating-point leaves in `dtype`, as arrays on the device; call it inside `jax.enable_x64` for float64."""
    return jax.tree.map(lambda a: jnp.asarray(a, dtype if np.asarray(a).dtype.kind == "f" else None), tree)


def precision(dtype):
    return jax.enable_x64(dtype == np.float64)


def geodesic_path(name: str) -> tuple[str, ...]:
    """Module that computes a stored intermediate: geo_lin_de5_i, geo_mid_geo, geo_cd_3, ..."""
    words = name.split("_")[1:]
    if words[0] == "cd":
        return ("geodesic", f"level_{words[1]}", "fusion")
    stage, part = words[-2:]
    return ("geodesic", f"level_{TOP if stage == 'mid' else stage[2:]}", PARTS[part])


def euclidean_path(name: str) -> tuple[str, ...]:
    """Module that computes x_mid, y_de5, ..."""
    return ("euclidean", f"encoder_{TOP}" if name == "x_mid" else f"decoder_{name[4:]}")


def intermediates(stored) -> dict[str, tuple[str, ...]]:
    """Paths of the modules by the name of the stored features."""
    names = stored.keys()
    voxels = {n[:-2]: euclidean_path(n[:-2]) for n in names if n.endswith("_F")}
    return voxels | {n: geodesic_path(n) for n in names if n.startswith("geo_")}


@pytest.fixture(scope="module")
def weights(fixtures):
    return state_dict(fixtures / "vmnet")


@pytest.fixture(scope="module", params=[(np.float32, "global"), (np.float32, "vertex"), (np.float64, "global")])
def evaluated(request, open_fixture, weights):
    """dtype, batch, logits and captured intermediates of the network in evaluation mode."""
    dtype, shift = request.param
    stored = open_fixture(FILES[0])
    wanted = set(intermediates(stored).values())

    def forward(variables, batch):
        def chosen(module, method):
            return method == "__call__" and module.path in wanted

        return model(shift).apply(variables, batch, False, capture_intermediates=chosen, mutable="intermediates")

    with precision(dtype):
        inputs = parity_batch(stored, dtype)
        logits, state = jax.jit(forward)(cast(from_state_dict(weights), dtype), cast(inputs.batch, dtype))
        logits, state = jax.device_get((logits, state))
    return dtype, inputs, logits, flatten_dict(state["intermediates"])


def test_weight_formula(open_fixture, fixtures, weights):
    stored = open_fixture(FILES[0])
    names = [str(n) for n in stored["param_names"]]
    assert set(names) == set(weights)
    sums = np.array(
        [[np.sum(weights[n], dtype=np.float64), np.abs(weights[n].astype(np.float64)).sum()] for n in names]
    )
    np.testing.assert_allclose(sums[:, 0], stored["param_sum64"], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(sums[:, 1], stored["param_abs64"], rtol=1e-12)


def test_eval_logits(open_fixture, evaluated):
    dtype, inputs, logits, _ = evaluated
    stored = open_fixture(FILES[0])
    rows = inputs.voxel_rows(stored["coords_v"], 0)
    vertices = len(stored["out_geo"])
    original = logits.vertex[stored["trace_l0"]]
    for ours, name, branch in (
        (logits.voxel[rows], "out_euc", "euc"),
        (logits.vertex[:vertices], "out_geo", "geo"),
        (original, "pred_ori", "geo"),
    ):
        theirs = stored.float32(name, own_error=stored.peek(f"f32_err_out_{branch}"))
        assert_close_to_largest(ours, theirs, 0, name, absolute=1e-5)
    starts = stored["infer_offsets"]
    np.testing.assert_array_equal(stored["point_ids"], np.arange(starts[-1]))
    assert len(original) == starts[-1]
    if dtype == np.float64:
        own_errors = (
            largest(logits.voxel[rows] - stored["out_euc"]),
            largest(logits.vertex[:vertices] - stored["out_geo"]),
        )
        assert_close_to_largest(own_errors[0], stored["f32_err_out_euc"], 0.02)
        assert_close_to_largest(own_errors[1], stored["f32_err_out_geo"], 0.02)


def test_eval_intermediates(open_fixture, evaluated):
    _, inputs, _, captured = evaluated
    stored = open_fixture(FILES[0])
    for name, path in intermediates(stored).items():
        (ours,) = captured[*path, "__call__"]
        if name.startswith("geo_"):
            theirs = stored.float32(name)
            ours = ours[: len(theirs.value)]
        else:
            theirs = stored.float32(f"{name}_F")
            level = TOP if name == "x_mid" else int(name[4:])
            ours = ours[inputs.voxel_rows(stored[f"{name}_C"], level)]
        assert_close_to_largest(ours, theirs, NO_TWIN, name)


class Trained(NamedTuple):
    """Four steps on the stored batch: logits, gradients and running statistics are those of step 0."""

    dtype: type
    logits: tuple
    gradients: dict[str, np.ndarray]
    running: dict[str, np.ndarray]
    metrics: list[dict]
    rows: np.ndarray


@pytest.fixture(scope="module", params=[np.float32, np.float64])
def trained(request, open_fixture, weights):
    dtype, stored = request.param, open_fixture(FILES[1])
    schedule = poly_schedule(0.01, 10)
    optimizer = sgd_dampened(schedule)

    options = OPTIMIZED if dtype == np.float32 else None

    @functools.partial(jax.jit, donate_argnums=1, compiler_options=options)
    def step(variables, opt_state, batch):
        def loss_fn(params):
            logits, updated = model().apply({**variables, "params": params}, batch, True, mutable="batch_stats")
            loss, metrics = scene_loss(logits, batch)
            return loss, (metrics, logits, updated)

        (_, (metrics, logits, updated)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(variables["params"])
        updates, opt_state = optimizer.update(gradients, opt_state, variables["params"])
        params = optax.apply_updates(variables["params"], updates)
        return {"params": params, **updated}, opt_state, (metrics, logits, gradients)

    with precision(dtype):
        inputs = parity_batch(stored, dtype)
        batch, variables = cast(inputs.batch, dtype), cast(from_state_dict(weights), dtype)
        opt_state = optimizer.init(variables["params"])
        variables, opt_state, out = step(variables, opt_state, batch)
        (first, logits, gradients), running = jax.device_get((out, variables["batch_stats"]))
        metrics = [first]
        for _ in stored["lrs64"][1:]:
            variables, opt_state, out = step(variables, opt_state, batch)
            metrics.append(jax.device_get(out[0]))
        for step_number, rate in enumerate(stored["lrs64"]):
            np.testing.assert_allclose(schedule(step_number), rate, rtol=1e-6 if dtype == np.float32 else 1e-14)
    return Trained(
        dtype,
        logits,
        to_state_dict({"params": gradients}),
        to_state_dict({"batch_stats": running}),
        metrics,
        inputs.voxel_rows(stored["coords_v"], 0),
    )


def stored_under(stored, prefix: str) -> list[str]:
    """The rest of the names of the stored arrays that begin with `prefix`."""
    names = stored.keys()
    return [n.removeprefix(prefix) for n in names if n.startswith(prefix)]


def test_train_logits_and_losses(open_fixture, trained):
    stored = open_fixture(FILES[1])
    assert_close_to_largest(trained.logits.voxel[trained.rows], stored.float32("out_euc"))
    assert_close_to_largest(trained.logits.vertex[: len(stored["out_geo"])], stored.float32("out_geo"))
    first, own_error = trained.metrics[0], np.abs(stored.peek("losses64") - stored.peek("losses_f64run64"))
    assert_close_in_norm(first["voxel_loss"], stored.float32("loss_euc", own_error=own_error[0]), NO_TWIN)
    assert_close_in_norm(first["vertex_loss"], stored.float32("loss_geo", own_error=own_error[0]), NO_TWIN)
    losses = [m["loss"] for m in trained.metrics]
    steps = [f"loss before step {i}" for i in range(len(losses))]
    theirs, exact = stored.float32("losses64", twin="losses_f64run64"), stored["losses_f64run64"]
    assert_each_close(losses, theirs, 1e-4 * np.abs(theirs.value), steps)
    if trained.dtype == np.float64:
        assert_each_close(losses, exact, 1e-8 * exact, steps)
    else:
        assert_each_close(losses, Float32(exact, None, own_error, stored.known), 1e-4 * exact, steps)


class Gradients(NamedTuple):
    """Norms and probes of the N parameters that have a gradient, and what their rounding is compared by."""

    names: list[str]
    norms: np.ndarray
    probes: np.ndarray
    key_bias: np.ndarray
    """bool [N]: gradients that are zero but for rounding."""
    sizes: np.ndarray
    """[N]: own norms; of the same layer's kernel for a bias of the keys."""


def gradients_of(trained: Trained, names: list[str], probe) -> Gradients:
    """probe(name, shape) -> the stored direction that a gradient is projected on."""
    arrays = {n: trained.gradients[n].astype(np.float64) for n in names}
    norms = {n: np.linalg.norm(g) for n, g in arrays.items()}
    key_bias = [n.endswith(".lin_key.bias") for n in names]
    sizes = [norms[n.removesuffix("bias") + "weight"] if bias else norms[n] for n, bias in zip(names, key_bias)]
    return Gradients(
        names,
        np.array(list(norms.values())),
        np.array([(g * probe(n, g.shape)).sum() for n, g in arrays.items()]),
        np.array(key_bias),
        np.array(sizes),
    )


def test_train_gradients(open_fixture, fixtures, trained):
    """Suffix _f64run64: the original's float64 run; 64 alone: its float32 run, norms and probes summed in float64."""
    stored = open_fixture(FILES[1])
    formula, seed = load_formula(fixtures / "vmnet"), read_seed(fixtures / "vmnet")
    every = [str(n) for n in stored["grad_names"]]
    absent = {str(n) for n in stored["no_grad_names"]}
    assert set(every) == set(trained.gradients) | absent
    has = np.array([n not in absent for n in every])
    names = [n for n in every if n not in absent]
    ours = gradients_of(trained, names, lambda name, shape: formula.grad_probe(name, shape, seed))
    exact = trained.dtype == np.float64
    rounding = stored.peek("grad_rel_err_f32")[has] * ours.sizes
    for kind, values in (("norm", ours.norms), ("probe", ours.probes)):
        rounded, twin = f"grad_{kind}64", f"grad_{kind}_f64run64"
        assert not stored[rounded][~has].any()
        assert not stored[twin][~has].any()
        own_error = np.maximum(np.where(ours.key_bias, 0, rounding), np.abs(stored[rounded] - stored[twin])[has])
        for key, norm_key in ((rounded, "grad_norm64"), (twin, "grad_norm_f64run64")):
            strict = exact and key == twin
            limits = (1e-8 if strict else 2e-4) * stored[norm_key][has]
            limits = np.where(ours.key_bias, 1e-8 if strict else KEY_BIAS_NOISE, limits)
            theirs = Float32(stored[key][has], None, own_error, stored.known or strict)
            assert_each_close(values, theirs, limits, names, scale=ours.sizes)


def test_train_stored_gradients(open_fixture, trained):
    """The tensors stored in full; in float64, their own rounding errors are the ones the original program reports."""
    stored = open_fixture(FILES[1])
    errors = dict(zip((str(n) for n in stored["grad_names"]), stored["grad_rel_err_f32"]))
    for name in stored_under(stored, "grad/"):
        ours = trained.gradients[name].astype(np.float64)
        size = np.linalg.norm(ours)
        theirs = stored.float32(f"grad/{name}", own_error=errors[name] * size)
        ours = ours.reshape(theirs.value.shape)
        if trained.dtype == np.float64:
            error = np.linalg.norm(ours - theirs.value) / size
            np.testing.assert_allclose(error, errors[name], rtol=0.05, atol=1e-8, err_msg=name)
        else:
            assert_close_in_norm(ours, theirs, 2e-4, name)


def test_arrays_without_gradient(open_fixture, fixtures, trained):
    absent = {str(n) for n in open_fixture(FILES[1])["no_grad_names"]}
    parameters = {e["name"] for e in read_entries(fixtures / "vmnet") if e["kind"] == "parameter"}
    assert absent == parameters - set(trained.gradients)
    assert all(".lin_edge." in n for n in absent)


def test_running_statistics(open_fixture, trained):
    stored = open_fixture(FILES[1])
    names = [str(n) for n in stored["running_names"]]
    assert set(names) == set(trained.running)
    sums = np.array([trained.running[n].sum(dtype=np.float64) for n in names])
    terms = np.array([np.abs(trained.running[n]).sum(dtype=np.float64) for n in names])
    theirs = stored.float32("running_sum64")
    assert_each_close(sums, theirs, 1e-5 + 1e-5 * np.abs(theirs.value), names, scale=terms)
    for name in stored_under(stored, "after1/"):
        assert_close_to_largest(trained.running[name], stored.float32(f"after1/{name}"), 1e-5, name)


def test_everything_was_compared(open_fixture):
    for name in FILES:
        assert not open_fixture(name).unread
