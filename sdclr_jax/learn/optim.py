"""Optimisers and learning rates of the original: torch's SGD, LARS, warm-up cosine, step decay of the linear probe."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

Schedule = Callable[[jax.Array | int], jax.Array]


def warmup_cosine(
    base_lr: float, steps_per_epoch: int, epochs: int, warmup_epochs: int = 10, min_lr: float = 1e-6
) -> Schedule:
    """Linear warm-up, then a half cosine to `min_lr`, per step.

    Returns:
        step s -> rate: base_lr s / W below W, then min_lr + (base_lr - min_lr)(1 + cos(pi (s - W)/(T - W)))/2, with W
        and T the steps of the warm-up and of the whole run. Steps count from 1: the first update uses s = 1, the last s
        = T.
    """
    if min(steps_per_epoch, epochs) < 1 or warmup_epochs < 0:
        raise ValueError(f"{steps_per_epoch=}, {epochs=}, {warmup_epochs=}: need 1 or more, the warm-up 0 or more")
    warmup, total = warmup_epochs * steps_per_epoch, epochs * steps_per_epoch

    def rate(step: jax.Array | int) -> jax.Array:
        step = jnp.asarray(step).astype(float)
        progress = jnp.clip((step - warmup) / max(total - warmup, 1), 0, 1)
        cosine = min_lr + (base_lr - min_lr) * (1 + jnp.cos(jnp.pi * progress)) / 2
        return jnp.where(step < warmup, base_lr * step / max(warmup, 1), cosine)

    return rate


def step_decay(
    base_lr: float, decay_epochs: tuple[int, ...], decays_before_epoch: bool, factor: float = 0.1
) -> Schedule:
    """Step decay of the linear evaluation: epoch, counted from 1 -> rate.

    Args:
        decay_epochs: epochs e at which the rate is multiplied by `factor`: (10, 20) full, (40, 60) few-shot.
        decays_before_epoch: true: epoch e itself already has the lower rate (the original's CIFAR program, which steps
            its scheduler at the start of an epoch); false: from epoch e + 1 on (its ImageNet program).
    """

    def rate(epoch: jax.Array | int) -> jax.Array:
        boundaries = jnp.asarray(decay_epochs)
        passed = boundaries <= epoch if decays_before_epoch else boundaries < epoch
        return base_lr * jnp.power(factor, passed.sum())

    return rate


def _next_step(schedule: Schedule | float) -> Schedule:
    """optax counts updates from 0, the schedules here from 1."""
    return (lambda count: schedule(count + 1)) if callable(schedule) else (lambda count: jnp.asarray(schedule))


def sgd(schedule: Schedule | float, momentum: float = 0.9, weight_decay: float = 0.0) -> optax.GradientTransformation:
    """torch.optim.SGD without dampening: g += wd w; buf = momentum buf + g; w -= lr buf, for every parameter alike.

    The buffer starts as the first gradient; `schedule` is a rate, or a function of the step counted from 1.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.trace(decay=momentum),
        optax.scale_by_learning_rate(_next_step(schedule)),
    )


class LarsState(NamedTuple):
    """Updates so far, int32 [], and the momentum buffers, shaped as the parameters."""

    count: jax.Array
    buffers: optax.Updates


def lars(
    schedule: Schedule | float, momentum: float = 0.9, weight_decay: float = 1e-6, trust: float = 1e-3
) -> optax.GradientTransformation:
    """LARS as the original runs it (You et al., 2017): the rate inside the buffer, every array alike, biases included.

    local = trust |w| / (|g| + wd |w|), 1 where |w| or |g| is under 1e-15; buf = momentum buf + local lr (g + wd w);
    w -= buf. `schedule` is a rate, or a function of the step counted from 1.
    """
    rate_at = _next_step(schedule)

    def init(params: optax.Params) -> LarsState:
        return LarsState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(grads: optax.Updates, state: LarsState, params: optax.Params) -> tuple[optax.Updates, LarsState]:
        rate = rate_at(state.count)

        def moved(gradient: jax.Array, weight: jax.Array, buffer: jax.Array) -> jax.Array:
            weight_norm, gradient_norm = jnp.linalg.norm(weight.ravel()), jnp.linalg.norm(gradient.ravel())
            denominator = gradient_norm + weight_decay * weight_norm
            usable = (weight_norm >= 1e-15) & (gradient_norm >= 1e-15)
            local = jnp.where(usable, trust * weight_norm / jnp.where(usable, denominator, 1), 1)
            return momentum * buffer + local * rate * (gradient + weight_decay * weight)

        buffers = jax.tree.map(moved, grads, params, state.buffers)
        return jax.tree.map(jnp.negative, buffers), LarsState(state.count + 1, buffers)

    return optax.GradientTransformation(init, update)
