"""Device memory of a compiled step, known before it runs."""

import ctypes
import functools
import logging
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from trainlib.core.errors import UserError

GIB = 2**30

_log = logging.getLogger(__name__)


class StepMemory(NamedTuple):
    """Bytes that one call of a step needs on each device."""

    arguments: int  # state and batch
    results: int  # in their own memory, not in the memory of donated arguments
    temporaries: int  # activations and workspace, as planned by the compiler
    traffic: float = 0.0  # read and written by one call, by the compiler's count; 0 where it keeps none

    @property
    def total(self) -> int:
        """Arguments, results and temporaries."""
        return self.arguments + self.results + self.temporaries

    def __str__(self) -> str:
        return f"{self.total / GIB:.2f} GiB (state and batch {self.arguments / GIB:.2f})"


def step_memory(step: Callable[..., Any], *arguments: Any) -> StepMemory:
    """Compiles a step made by `parallel.pmap_step` for these arguments, without running it, and reads its memory plan.

    The compiled program is kept: the call that follows does not compile again. What the compiler has freed goes back to
    the system, about a gibibyte after a large step.
    """
    compiled = step.lower(*arguments).compile()
    plan, counts = compiled.memory_analysis(), compiled.cost_analysis() or {}
    # glibc keeps freed memory for later allocations, and XLA's compiler leaves much of it in small pieces.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
    results = plan.output_size_in_bytes - plan.alias_size_in_bytes
    traffic = counts.get("bytes accessed", 0.0)
    return StepMemory(plan.argument_size_in_bytes, results, plan.temp_size_in_bytes, traffic)


def check_memory(step: Callable[..., Any], *arguments: Any, what: str, remedy: str, growth: float = 1.0) -> None:
    """Compiles a step and logs what it needs on each device, before it runs.

    Args:
        step: made by `parallel.pmap_step`; arguments: of the call that follows.
        what: size of the batch, for the message.
        remedy: what to do where a step does not fit.
        growth: size of the run's largest batch by this one's; a warning follows if the largest may not fit.

    Raises:
        UserError: if a step needs more than a device has.
    """
    _log.info("Compiling a step, %s", what)
    needed, there = step_memory(step, *arguments), device_memory()
    at_most = needed.total + (growth - 1) * needed.temporaries
    largest = f"; of the largest batch about {at_most / GIB:.2f} GiB" if growth > 1 else ""
    _log.info("Memory of a step, %s: %s%s; a device has %.1f GiB", what, needed, largest, there / GIB)
    if needed.total > there:
        raise UserError(f"a step needs {needed}, but a device has {there / GIB:.1f} GiB. {remedy}")
    if at_most > there:
        _log.warning("The largest batches may not fit the memory. %s", remedy)


def device_memory() -> int:
    """Bytes of one local device that this process may use; on CPU the machine's memory by the number of devices."""
    device = jax.local_devices()[0]
    limit = (device.memory_stats() or {}).get("bytes_limit")
    if limit is not None:
        return limit
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // jax.local_device_count()


@functools.cache
def memory_speed() -> float:
    """Bytes a second that a device reads and writes, measured once with an addition over 64 MiB."""
    add = jax.jit(lambda x: x + 1)
    x = jnp.zeros(2**24, jnp.float32)
    add(x).block_until_ready()  # compiles
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        add(x).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return 2 * x.nbytes / min(seconds)
