"""Several devices of one host: the one place that knows how a step is spread over them.

A step function works on one device's share and reduces over `AXIS` (`jax.lax.psum(x, AXIS)`). Its state is the same on
every device; its batch has a leading axis of `num_devices()`. Sums and counts are reduced, never means of means.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "devices"


def num_devices() -> int:
    """Devices of this process."""
    return jax.local_device_count()


def pmap_step(function: Callable[..., Any], donate_argnums: Sequence[int] = ()) -> Callable[..., Any]:
    """Runs `function` on all devices at once; every argument and result has the devices as its leading axis.

    Arguments in `donate_argnums` give their memory to the results and must not be used again.
    """
    return jax.pmap(function, axis_name=AXIS, donate_argnums=tuple(donate_argnums))


def replicate(tree: Any) -> Any:
    """A copy of each array [...] on every device: leaves [num_devices, ...]."""
    sharding = _sharding()
    count = num_devices()

    def spread(leaf: Any) -> jax.Array:
        array = np.asarray(leaf)
        return jax.device_put(np.broadcast_to(array, (count, *array.shape)), sharding)

    return jax.tree.map(spread, tree)


def unreplicate(tree: Any) -> Any:
    """The first device's copy of leaves [num_devices, ...], as NumPy arrays [...] of their own memory on the host."""

    def first(leaf: jax.Array) -> np.ndarray:
        shard = min(leaf.addressable_shards, key=lambda shard: shard.index[0].start or 0)
        return np.array(shard.data)[0]

    return jax.tree.map(first, tree)


def stack(trees: Sequence[Any]) -> Any:
    """Joins one batch per device, all of the same shapes, into leaves [num_devices, ...], each on its device."""
    if len(trees) != num_devices():
        raise ValueError(f"stack needs a batch for each of the {num_devices()} devices, got {len(trees)}")
    sharding = _sharding()

    def join(*leaves: Any) -> jax.Array:
        shapes = {(np.shape(leaf), str(np.asarray(leaf).dtype)) for leaf in leaves}
        if len(shapes) > 1:
            raise ValueError(f"the devices' batches differ in shape or dtype: {sorted(shapes)}")
        shards = [jax.device_put(np.asarray(leaf)[None], device) for leaf, device in zip(leaves, jax.local_devices())]
        return jax.make_array_from_single_device_arrays((len(leaves), *np.shape(leaves[0])), sharding, shards)

    return jax.tree.map(join, *trees)


def _sharding() -> NamedSharding:
    return NamedSharding(Mesh(np.array(jax.local_devices()), (AXIS,)), PartitionSpec(AXIS))
