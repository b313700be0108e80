"""Several devices, of one process or of many: the one place that knows how a step is spread over them.

A step function works on one device's share and reduces over `AXIS` (`jax.lax.psum(x, AXIS)`), which is all devices of
all processes. State, keys and metrics are the same on every device and have no axis for it. A batch has a leading axis
of `num_local_devices()`, a process's own part. Sums and counts are reduced, never means of means.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
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
    function: Callable[..., Any],
    in_axes: tuple[int | None, ...],
    out_axes: int | None = None,
    *,
    donate_argnums: Sequence[int] = (),
    local: bool = False,
) -> Callable[..., Any]:
    """Runs `function` on all devices at once.

    Args:
        function: works on one device's share.
        in_axes: for each argument, 0 if it has this process's devices as its leading axis, or None if it is the same on
            all devices. Arguments of the second kind come from `to_devices` or from a step. If all are of the second
            kind, every device computes the same, and `AXIS` is not to be had.
        out_axes: the same for the results. With None, `function` must reduce over `AXIS` what differs.
        donate_argnums: arguments that give their memory to the results and must not be used again.
        local: run on the devices of this process alone. Otherwise all processes must make the same calls.
    """

    def share(*arguments: Any) -> Any:
        results = function(*(_apart(a) if axis is None else a for a, axis in zip(arguments, in_axes)))
        return _apart(results) if out_axes is None else results

    if not any(axis == 0 for axis in in_axes):
        return jax.jit(share, donate_argnums=tuple(donate_argnums), out_shardings=_sharding())
    return jax.pmap(
        share,
        axis_name=AXIS,
        in_axes=in_axes,
        out_axes=out_axes,
        donate_argnums=tuple(donate_argnums),
        devices=jax.local_devices() if local else None,
    )


def _apart(tree: Any) -> Any:
    """The same arrays behind a barrier over which XLA fuses nothing, in the form [1, ...] that a device's part has.

    So a step rounds alike whether an array comes as one for all devices or as a part of one with an axis for them.
    """
    barred = jax.lax.optimization_barrier(jax.tree.map(lambda leaf: leaf[None], tree))
    return jax.tree.map(lambda leaf: leaf[0], barred)


def to_devices(tree: Any) -> Any:
    """A copy of each array [...] on every device of this process, still [...]: what a step takes and gives back."""
    return jax.device_put(jax.tree.map(np.asarray, tree), _sharding())


def to_host(tree: Any) -> Any:
    """Arrays that are the same on every device, as NumPy arrays of their own memory."""
    return jax.tree.map(np.array, tree)


def stack(trees: Sequence[Any]) -> Any:
    """Joins a batch for each device of this process, all of the same shapes: leaves [num_local_devices, ...]."""
    if len(trees) != num_local_devices():
        raise ValueError(f"stack needs a batch for each of the {num_local_devices()} devices, got {len(trees)}")
    sharding = _sharding(AXIS)

    def join(*leaves: Any) -> jax.Array:
        shapes = {(np.shape(leaf), str(np.asarray(leaf).dtype)) for leaf in leaves}
        if len(shapes) > 1:
            raise ValueError(f"the devices' batches differ in shape or dtype: {sorted(shapes)}")
        shards = [jax.device_put(np.asarray(leaf)[None], device) for leaf, device in zip(leaves, jax.local_devices())]
        return jax.make_array_from_single_device_arrays((len(leaves), *np.shape(leaves[0])), sharding, shards)

    return jax.tree.map(join, *trees)


def gather(array: jax.Array) -> np.ndarray:
    """[num_local_devices, ...] of every process -> [num_devices, ...] in all of them."""
    from jax.experimental import multihost_utils  # slow to import, and only several processes gather

    return multihost_utils.process_allgather(array, tiled=True)


def _sharding(*axes: str) -> NamedSharding:
    """Over this process's devices: split along the first axis with `AXIS`, copied to each device without."""
    return NamedSharding(Mesh(np.array(jax.local_devices()), (AXIS,)), PartitionSpec(*axes))
