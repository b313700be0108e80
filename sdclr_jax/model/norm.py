"""BatchNorm with one or two sets of parameters and statistics, chosen by branch, in torch's convention.

flax.linen.BatchNorm keeps the biased variance in its running average; torch keeps the unbiased one, which differs
visibly where the batch is small (the head's layers see one value per image).
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

DENSE, PRUNED = 0, 1


class ForwardMode(NamedTuple):
    """How one forward pass runs: by the BatchNorm of `branch`, with the batch's statistics if `train`.

    `rows` bool [N] is false for the padding images of a short batch; None when every image is real.
    """

    branch: int = DENSE
    train: bool = False
    rows: jax.Array | None = None


def per_row(rows: jax.Array, ndim: int) -> jax.Array:
    """bool [N] reshaped to [N, 1, ...] with `ndim` axes, to be broadcast against features."""
    return rows.reshape(rows.shape + (1,) * (ndim - 1))


def batch_moments(
    x: jax.Array, rows: jax.Array | None = None, axis_name: str | None = None
) -> tuple[jax.Array, jax.Array, jax.Array | int]:
    """Mean and biased variance [C] over the real rows of all devices' batch, and the number of values per channel.

    Args:
        x: float [N, ..., C].
        rows: bool [N], false for padding; None for no padding. At least one row of the whole batch is real.
        axis_name: mapped axis over which the batch is spread, or None.
    """
    axes, positions = tuple(range(x.ndim - 1)), x.size // (x.shape[0] * x.shape[-1])
    keep = None if rows is None else per_row(rows, x.ndim)
    count = (x.shape[0] if rows is None else rows.sum()) * positions

    def total(values: jax.Array) -> jax.Array:
        local = (values if keep is None else jnp.where(keep, values, 0)).sum(axes)
        return local if axis_name is None else lax.psum(local, axis_name)

    if axis_name is not None:
        count = lax.psum(count, axis_name)
    mean = total(x) / count
    variance = total(jnp.square(x - mean)) / count
    return mean, variance, count


class BranchNorm(nn.Module):
    """BatchNorm over all axes but the last; `num_sets` independent sets of scale, bias, mean and variance.

    With two sets the pass's branch chooses; with one set both branches share it. Padding rows leave as zeros.

    Attributes:
        prune_updates: how often a training pass of the pruned branch applies its statistics to the running ones. The
            original runs the pruned branch twice per step, so 2 reproduces its running statistics; with one set for
            both branches all but their order (there pruned, dense, pruned; here dense, then pruned twice).
        momentum: weight of the new statistics (torch's convention, 0.1; flax calls the same 0.9).
        axis_name: mapped axis for statistics over all devices, or None.
    """

    num_sets: int = 1
    prune_updates: int = 1
    momentum: float = 0.1
    epsilon: float = 1e-5
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, mode: ForwardMode) -> jax.Array:
        """float [N, ..., C] -> the same shape and dtype; the arithmetic is at least float32."""
        channels, sets = (x.shape[-1],), []
        for k in range(self.num_sets):
            scale = self.param(f"scale_{k}", nn.initializers.ones, channels)
            bias = self.param(f"bias_{k}", nn.initializers.zeros, channels)
            running_mean = self.variable("batch_stats", f"mean_{k}", jnp.zeros, channels)
            sets.append((scale, bias, running_mean, self.variable("batch_stats", f"var_{k}", jnp.ones, channels)))
        scale, bias, running_mean, running_variance = sets[min(mode.branch, self.num_sets - 1)]

        y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        mean, variance = running_mean.value, running_variance.value
        if mode.train:
            mean, variance, count = batch_moments(y, mode.rows, self.axis_name)
            if not self.is_initializing():
                unbiased = variance * (count / jnp.maximum(count - 1, 1).astype(variance.dtype))
                running_mean.value = self._moved(running_mean.value, mean, mode.branch)
                running_variance.value = self._moved(running_variance.value, unbiased, mode.branch)
        y = (y - mean) * (scale * lax.rsqrt(variance + self.epsilon)) + bias
        if mode.rows is not None:
            y = jnp.where(per_row(mode.rows, y.ndim), y, 0)
        return y.astype(x.dtype)

    def _moved(self, running: jax.Array, new: jax.Array, branch: int) -> jax.Array:
        for _ in range(self.prune_updates if branch == PRUNED else 1):
            running = (1 - self.momentum) * running + self.momentum * new
        return running
