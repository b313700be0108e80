"""Device memory of a compiled step, known before it runs."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

GIB = 2**30


class StepMemory(NamedTuple):
    """Bytes that one call of a step needs on each device.

    Attributes:
      arguments: state and batch.
      results: what is returned in memory of its own, not in that of donated arguments.
      temporaries: activations and workspace, as planned by the compiler.
    """

    arguments: int
    results: int
    temporaries: int

    @property
    def total(self) -> int:
        """All three."""
        return sum(self)

    def __str__(self) -> str:
        return f"{self.total / GIB:.2f} GiB (state and batch {self.arguments / GIB:.2f})"


def step_memory(step: Callable[..., Any], *arguments: Any) -> StepMemory:
    """Compiles a step made by `parallel.pmap_step` for these arguments, without running it, and reads its memory plan.

    The compiled program is kept: the call that follows does not compile again.
    """
    plan = step.lower(*arguments).compile().memory_analysis()
    return StepMemory(
        plan.argument_size_in_bytes,
        plan.output_size_in_bytes - plan.alias_size_in_bytes,
        plan.temp_size_in_bytes,
    )


def device_memory() -> int:
    """Bytes of one local device that this process may use; on CPU the machine's memory by the number of devices."""
    device = jax.local_devices()[0]
    limit = (device.memory_stats() or {}).get("bytes_limit")
    if limit is not None:
        return limit
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // jax.local_device_count()
