"""The attention and LayerNorm of torch-geometric 1.6.3 written out over a list of edges, after the formulas alone.

They stand for the original where its results are stored in float32 only: how far their float32 run is from their
float64 run shows how much of a difference is rounding. They share no code with the modules they are compared with.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

DRAWS = 8
"""Float32 runs that the error is taken from: a single one may be near the float64 run by chance."""


class Case(NamedTuple):
    """One operation with its inputs, named as in ops_mesh.npz."""

    function: Callable[[dict, dict, jax.Array], jax.Array]
    """(params, inputs, edges) -> float [V, C]."""
    params: dict[str, np.ndarray]
    inputs: dict[str, np.ndarray]
    """float [V, C_in] by name."""
    cotangent: np.ndarray
    """float [V, C]."""
    edges: np.ndarray
    """int [2, E]: sources and targets."""


def _linear(params, name, x):
    return x @ params[f"{name}.weight"].T + params[f"{name}.bias"]


def _attention(params, prefix, source, target, edges):
    """Global maximum, not detached, and 1e-16 in the denominator."""
    sources, targets = edges
    key = _linear(params, f"{prefix}lin_key", source)[sources]
    query = _linear(params, f"{prefix}lin_query", target)[targets]
    value = _linear(params, f"{prefix}lin_value", source)[sources]
    scores = (key * query).sum(1) * key.shape[1] ** -0.5
    weights = jnp.exp(scores - scores.max())
    total = jax.ops.segment_sum(weights, targets, len(target))[targets] + 1e-16
    attended = jax.ops.segment_sum((weights / total)[:, None] * value, targets, len(target))
    return attended + _linear(params, f"{prefix}lin_skip", target)


def _norm(params, prefix, x):
    return (x - x.mean()) / (x.std() + 1e-5) * params[f"{prefix}weight"] + params[f"{prefix}bias"]


def attention(params, inputs, edges):
    """Inputs `x`, or `src` and `dst`."""
    source, target = (inputs["x"], inputs["x"]) if "x" in inputs else (inputs["src"], inputs["dst"])
    return _attention(params, "", source, target, edges)


def layer_norm(params, inputs, edges):
    """Input `x`."""
    return _norm(params, "", inputs["x"])


def intra(params, inputs, edges):
    """Input `x`; two blocks, each added to what goes in."""
    x = inputs["x"]
    for i in (0, 1):
        x = jax.nn.relu(_norm(params, f"norm_{i}.", _attention(params, f"geo_{i}.", x, x, edges))) + x
    return x


def inter(params, inputs, edges):
    """Inputs `geo_x` and `euc_x`; no sum at the end."""
    attended = _attention(params, "geo_0.", inputs["geo_x"], inputs["euc_x"], edges)
    return jax.nn.relu(_norm(params, "norm_0.", attended))


FUNCTIONS = {
    "tconv": attention,
    "tconv_pair": attention,
    "tconv_big": attention,
    "layernorm": layer_norm,
    "intra": intra,
    "inter": inter,
}


def read_case(stored, name: str) -> Case:
    """A case of ops_mesh.npz; nothing counts as read."""

    def under(kind):
        prefix = f"{name}/{kind}/"
        return {key.removeprefix(prefix): stored.peek(key) for key in stored.keys() if key.startswith(prefix)}  # noqa: SIM118

    return Case(FUNCTIONS[name], under("param"), under("in"), stored.peek(f"{name}/R"), stored.peek("edge_index"))


def results(case: Case, dtype: type) -> dict[str, np.ndarray]:
    """`out`, `din/NAME` and `dparam/NAME` in `dtype`: the gradients of sum(out * cotangent)."""
    with jax.enable_x64(dtype == np.float64):
        params, inputs, cotangent = jax.tree.map(
            lambda array: jnp.asarray(array, dtype), (case.params, case.inputs, case.cotangent)
        )
        run = _differentiated(case.function)
        return jax.device_get(run(params, inputs, cotangent, jnp.asarray(case.edges)))


@functools.cache
def _differentiated(function):
    @jax.jit
    def run(params, inputs, cotangent, edges):
        out, pull = jax.vjp(lambda p, x: function(p, x, edges), params, inputs)
        param_grads, input_grads = pull(cotangent)
        named = {f"dparam/{name}": grad for name, grad in param_grads.items()}
        return {"out": out, **named, **{f"din/{name}": grad for name, grad in input_grads.items()}}

    return run


def float32_errors(case: Case) -> dict[str, float]:
    """Largest error of each result over float32 runs on inputs that differ by less than a unit of rounding.

    Returns:
      By the names of `results`: max |float32 - float64| over the array and the runs.
    """
    exact, rng = results(case, np.float64), np.random.default_rng(0)
    unit = np.finfo(np.float32).eps

    def nudged(array):
        return (array * (1 + unit * rng.uniform(-1, 1, np.shape(array)))).astype(np.float32)

    errors = dict.fromkeys(exact, 0.0)
    for _ in range(DRAWS):
        params, inputs, cotangent = jax.tree.map(nudged, (case.params, case.inputs, case.cotangent))
        rounded = results(case._replace(params=params, inputs=inputs, cotangent=cotangent), np.float32)
        for name, value in rounded.items():
            errors[name] = max(errors[name], float(np.abs(value.astype(np.float64) - exact[name]).max()))
    return errors
