"""Stochastic gradient descent with dampening, as torch has it, and the polynomial schedule of the learning rate."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


def poly_schedule(learning_rate: float, max_iterations: int, power: float = 0.9) -> optax.Schedule:
    """`learning_rate * (1 - step / (max_iterations + 1)) ** power`, zero after that."""
    period = max_iterations + 1

    def schedule(step):
        remaining = jnp.maximum(period - step, 0).astype(jnp.result_type(float))
        return learning_rate * (remaining / period) ** power

    return schedule


class DampenedTraceState(NamedTuple):
    """Step counter int32 [] and the momentum buffers, a tree like the parameters."""

    count: jax.Array
    trace: optax.Params


def dampened_trace(momentum: float, dampening: float) -> optax.GradientTransformation:
    """`trace = momentum * trace + (1 - dampening) * gradient`; the first trace is the gradient (torch's rule)."""

    def init(params):
        return DampenedTraceState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(updates, state, params=None):
        del params
        share = jnp.where(state.count == 0, 1.0, 1.0 - dampening)
        trace = jax.tree.map(lambda g, t: share.astype(g.dtype) * g + momentum * t, updates, state.trace)
        return trace, DampenedTraceState(optax.safe_increment(state.count), trace)

    return optax.GradientTransformation(init, update)


def sgd_dampened(
    learning_rate: optax.ScalarOrSchedule,
    momentum: float = 0.9,
    dampening: float = 0.1,
    weight_decay: float = 1e-4,
) -> optax.GradientTransformation:
    """torch's SGD: weight decay on all parameters, before momentum with dampening, without Nesterov's step."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay),
        dampened_trace(momentum, dampening),
        optax.scale_by_learning_rate(learning_rate),
    )
