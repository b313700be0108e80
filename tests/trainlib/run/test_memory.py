"""The memory plan of a step, and that reading it does not compile or trace the step twice."""

import os

import jax
import jax.numpy as jnp
import numpy as np

from trainlib.run import parallel
from trainlib.run.memory import device_memory, step_memory

SIDE = 256
BYTES = 4 * SIDE * SIDE


def test_memory_of_a_step_that_keeps_its_products():
    traces = []

    def step(state, x):
        traces.append(1)
        products = [jnp.sin(state @ x + k) for k in range(4)]
        return state + sum(p @ p.T for p in products), jnp.sum(x)

    run = parallel.pmap_step(step, in_axes=(None, None), donate_argnums=(0,))
    state, x = parallel.to_devices((np.ones((SIDE, SIDE), np.float32), np.ones((SIDE, SIDE), np.float32)))
    memory = step_memory(run, state, x)
    assert memory.arguments == 2 * BYTES
    assert memory.results < 1024  # the new state takes the donated memory
    assert BYTES <= memory.temporaries <= 16 * BYTES
    assert memory.total == memory.arguments + memory.results + memory.temporaries
    jax.block_until_ready(run(state, x))
    assert len(traces) == 1


def test_devices_share_the_memory_of_the_host():
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert device_memory() == whole // jax.local_device_count()
