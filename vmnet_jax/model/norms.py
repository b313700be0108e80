"""Normalisations over the real rows, with the ReLU that follows them, and their backward passes.

Derivatives are written out for the sake of memory: from the forward pass only the input and a few sums are kept, and
the backward pass centres the input again. It does so by its own formula, since XLA would merge an equal one with
the forward pass, and one that needs the cotangent (`_after`), since XLA would compute it early. In both cases the
centred input of every layer would stay in memory through the whole step.
"""

import functools

import jax
import jax.numpy as jnp

EPSILON = 1e-5  # added to the variance or deviation

Mode = tuple[str | None, bool]
"""The mapped axis of the devices over which sums and counts are reduced, and whether negative results become zero."""


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def masked_batch_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, real: jax.Array, mode: Mode
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
    """y = (x - mean) / sqrt(var + EPSILON) * scale + bias over the real rows (Ioffe and Szegedy 2015, algorithm 1).

    Args:
        x: float [N, C].
        scale, bias: float [C].
        real: bool [N, 1], which rows count.
        mode: see `Mode`.

    Returns:
        y [N, C], other rows zero, and (mean [C], biased variance [C], number of rows []) over all devices, through
        which no gradient flows; mean and variance are 0 without rows. Reverse mode only.
    """
    return _batch_norm_forward(x, scale, bias, real, mode)[0]


def _batch_norm_forward(x, scale, bias, real, mode):
    """Sums x - shift, shift being the mean up to rounding: the rest is exact and the variance does not cancel."""
    axis_name, relu = mode
    count = psum(jnp.sum(real), axis_name).astype(x.dtype)
    rows = jnp.maximum(count, 1)
    shift = psum(jnp.where(real, x, 0).sum(0), axis_name) / rows
    rest = jnp.where(real, x - shift, 0)
    mean, square = psum((rest.sum(0), jnp.square(rest).sum(0)), axis_name)
    mean, square = mean / rows, square / rows
    var = square - jnp.square(mean)
    rate = jax.lax.rsqrt(var + EPSILON)
    gain = rate * scale
    y, centre = rest * gain + (bias - mean * gain), shift + mean
    y = jnp.maximum(y, 0) if relu else y
    return (jnp.where(real, y, 0), (centre, var, count)), (x, scale, bias, real, centre, rate, rows)


def _batch_norm_backward(mode, saved, cotangents):
    axis_name, relu = mode
    x, scale, bias, real, centre, rate, rows = saved
    normal = (x - _after(cotangents[0][0], centre)) * rate
    wanted = real & (normal * scale + bias > 0) if relu else real
    g = jnp.where(wanted, cotangents[0], 0)
    dbias, dscale = g.sum(0), (g * normal).sum(0)
    mean, slope = psum((dbias, dscale), axis_name)
    dx = jnp.where(real, rate * scale * (g - mean / rows - normal * (slope / rows)), 0)
    return dx, dscale, dbias, None


masked_batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def graph_layer_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, groups: tuple[jax.Array, jax.Array], mode: Mode
) -> jax.Array:
    """y = (x - mean) / (std + EPSILON) * scale + bias, mean and deviation over all rows and channels of a group.

    After LayerNorm of PyG 1.6.3: the standard deviation is the biased one and epsilon is added to it; the derivative of
    the square root at 0 is 0, as torch has it.

    Args:
        x: float [V, C].
        scale, bias: float [].
        groups: which rows count, bool [V, 1], and float [V, S], 1 where a row belongs to a group, else 0; zero in rows
            that do not count.
        mode: see `Mode`.

    Returns:
        [V, C], other rows zero. Reverse mode only.
    """
    return _layer_norm_forward(x, scale, bias, groups, mode)[0]


def _layer_norm_forward(x, scale, bias, groups, mode):
    """Shifted sums as in the batch normalisation."""
    (real, member), (axis_name, relu) = groups, mode
    entries = jnp.maximum(psum(member.sum(0), axis_name) * x.shape[-1], 1)
    shift = psum(_dot(x.sum(1), member), axis_name) / entries
    rest = jnp.where(real, x - _dot(member, shift)[:, None], 0)
    sums = psum((_dot(rest.sum(1), member), _dot(jnp.square(rest).sum(1), member)), axis_name)
    mean, square = sums[0] / entries, sums[1] / entries
    deviation = jnp.sqrt(jnp.maximum(square - jnp.square(mean), 0))
    gain = scale / (deviation + EPSILON)
    y = rest * _dot(member, gain)[:, None] + _dot(member, bias - mean * gain)[:, None]
    y = jnp.maximum(y, 0) if relu else y
    return jnp.where(real, y, 0), (x, scale, bias, groups, shift + mean, deviation, entries)


def _layer_norm_backward(mode, saved, cotangent):
    """With r = x - mean and d = std + epsilon: dx = scale / d (g - mean(g)) - scale sum(g r) r / (d^2 entries std)."""
    x, scale, bias, (real, member), centre, deviation, entries = saved
    axis_name, relu = mode
    rate = 1 / (deviation + EPSILON)
    rest = x - _dot(member, _after(cotangent[0, 0], centre))[:, None]
    wanted = real & (rest * _dot(member, scale * rate)[:, None] + bias > 0) if relu else real
    g = jnp.where(wanted, cotangent, 0)
    total, slope = _dot(g.sum(1), member), _dot((g * rest).sum(1), member)
    dbias, dscale = total.sum(), (slope * rate).sum()
    total, slope = psum((total, slope), axis_name)
    positive = deviation > 0
    pull = jnp.where(positive, slope * rate / (entries * jnp.where(positive, deviation, 1)), 0)
    dx = g - _dot(member, total / entries)[:, None] - rest * _dot(member, pull)[:, None]
    return jnp.where(real, dx * _dot(member, scale * rate)[:, None], 0), dscale, dbias, None


graph_layer_norm.defvjp(_layer_norm_forward, _layer_norm_backward)


def psum(x, axis_name: str | None):
    """The sum over the devices of a mapped axis, or x itself where there is none."""
    return x if axis_name is None else jax.lax.psum(x, axis_name)


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """Sums per group of values [V] (with member [V, S]) and the way back [S] -> [V]: no scatter in either direction."""
    return jnp.dot(a, b, precision=jax.lax.Precision.HIGHEST)


def _after(cotangent: jax.Array, x: jax.Array) -> jax.Array:
    """x, but not computed before the cotangent (to a compiler 0 * y is not 0: y may be NaN).

    With `jax.lax.optimization_barrier` a step of the published network needs 13 % more temporary memory on a CPU.
    """
    return x + 0 * cotangent
