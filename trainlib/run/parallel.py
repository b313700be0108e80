"""Several devices, of one process or of many: the one place that knows how a step is spread over them.

A step function works on one device's share and reduces over `AXIS` (`jax.lax.psum(x, AXIS)`), which is all devices of
all processes. What a process holds is its own devices' part: the state is the same on every device, and a batch has a
leading axis of `num_local_devices()`. Sums and counts are reduced, never means of means.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "devices"


T = TypeVar("T")


def num_devices() -> int:
    """Devices of all processes."""
    return jax.device_count()


def num_local_devices() -> int:
    """Devices of this process; every process has the same number."""
    return jax.local_device_count()


def own(items: Sequence[T]) -> Sequence[T]:
    """This process's part of a sequence with one item for each of all devices."""
    count = num_local_devices()
    return items[jax.process_index() * count :][:count]


def pmap_step(
    function: Callable[..., Any], donate_argnums: Sequence[int] = (), local: bool = False
) -> Callable[..., Any]:
    """Runs `function` on all devices at once; every argument and result has this process's devices as its leading axis.

    Args:
        function: works on one device's share.
        donate_argnums: arguments that give their memory to the results and must not be used again.
        local: run on the devices of this process alone. Otherwise all processes must make the same calls.
    """
    devices = jax.local_devices() if local else None
    return jax.pmap(function, axis_name=AXIS, donate_argnums=tuple(donate_argnums), devices=devices)


def replicate(tree: Any) -> Any:
    """A copy of each array [...] on every device of this process: leaves [num_local_devices, ...]."""
    sharding = _sharding()
    count = num_local_devices()

    def spread(leaf: Any) -> jax.Array:
        array = np.asarray(leaf)
        return jax.device_put(np.broadcast_to(array, (count, *array.shape)), sharding)

    return jax.tree.map(spread, tree)


def unreplicate(tree: Any) -> Any:
    """The first device's copy of leaves [num_local_devices, ...], as NumPy arrays [...] in their own memory."""

    def first(leaf: jax.Array) -> np.ndarray:
        shard = min(leaf.addressable_shards, key=lambda shard: shard.index[0].start or 0)
        return np.array(shard.data)[0]

    return jax.tree.map(first, tree)


def stack(trees: Sequence[Any]) -> Any:
    """Joins a batch for each device of this process, all of the same shapes: leaves [num_local_devices, ...]."""
    if len(trees) != num_local_devices():
        raise ValueError(f"stack needs a batch for each of the {num_local_devices()} devices, got {len(trees)}")
    sharding = _sharding()

    def join(*leaves: Any) -> jax.Array:
        shapes = {(np.shape(leaf), str(np.asarray(leaf).dtype)) for leaf in leaves}
        if len(shapes) > 1:
            raise ValueError(f"the devices' batches differ in shape or dtype: {sorted(shapes)}")
        shards = [jax.device_put(np.asarray(leaf)[None], device) for leaf, device in zip(leaves, jax.local_devices())]
        return jax.make_array_from_single_device_arrays((len(leaves), *np.shape(leaves[0])), sharding, shards)

    return jax.tree.map(join, *trees)


def gather(array: jax.Array) -> np.ndarray:
    """[num_local_devices, ...] of every process -> [num_devices, ...] in all of them."""
    return multihost_utils.process_allgather(array, tiled=True)


def _sharding() -> NamedSharding:
    return NamedSharding(Mesh(np.array(jax.local_devices()), (AXIS,)), PartitionSpec(AXIS))
