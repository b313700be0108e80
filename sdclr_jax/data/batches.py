"""Which images a step sees, and evaluation of many images in padded batches over all devices of all processes."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from trainlib.core.errors import UserError
from trainlib.run import parallel
from trainlib.run.prefetch import Prefetch

_log = logging.getLogger(__name__)


class Order(NamedTuple):
    """The batches of one epoch, spread over D devices: S steps of n images on each.

    Attributes:
        examples: int32 [D, S, n], rows of the training images; 0 where there is none.
        rows: bool [D, S, n], false for padding.
    """

    examples: np.ndarray
    rows: np.ndarray


def steps_per_epoch(num_examples: int, batch_size: int, drop_last: bool) -> int:
    """Steps of an epoch; the last batch may be short unless it is dropped. ValueError if none is left."""
    steps = num_examples // batch_size if drop_last else -(-num_examples // batch_size)
    if steps < 1:
        raise ValueError(f"{num_examples} images make no whole batch of {batch_size}, and drop_last is set")
    return steps


def epoch_order(
    num_examples: int, batch_size: int, devices: int, seed: int, epoch: int, drop_last: bool = False
) -> Order:
    """A random order of all examples, from seed and epoch alone, in batches of `batch_size` over all devices.

    A batch takes the examples one after the other, whatever the number of devices; devices share it in equal parts,
    the last ones padded.
    """
    steps = steps_per_epoch(num_examples, batch_size, drop_last)
    per_device = -(-batch_size // devices)
    shuffled = np.random.default_rng([seed, epoch]).permutation(num_examples)[: steps * batch_size]
    flat = np.full(steps * batch_size, -1, np.int32)
    flat[: len(shuffled)] = shuffled
    padded = np.full((steps, devices * per_device), -1, np.int32)
    padded[:, :batch_size] = flat.reshape(steps, batch_size)
    examples = padded.reshape(steps, devices, per_device).transpose(1, 0, 2)
    return Order(np.maximum(examples, 0), examples >= 0)


def map_rows(
    function: Callable[..., Any], constants: Sequence[Any], arrays: Sequence[np.ndarray], batch_size: int
) -> np.ndarray:
    """Applies `function` to all rows of `arrays`, `batch_size` at a time over all devices.

    Args:
        function: made by `parallel.pmap_step` with `out_axes=0`; function(*constants, *shares) -> one array [n, ...]
            per device.
        constants: first arguments, the same on all devices: from `parallel.to_devices` or a step.
        arrays: [N, ...] each, on the host, or array-likes that make their rows when asked (`image_files.Decoded`); the
            next rows are made while the devices work.
        batch_size: rows at a time; the last batch is padded by repeating its last row.

    Returns:
        [N, ...], NumPy.
    """
    devices, count = parallel.num_devices(), len(arrays[0])
    per_device = -(-min(batch_size, count) // devices)
    whole = devices * per_device

    def shares(batch: int) -> list[Any]:
        rows = np.minimum(np.arange(batch * whole, (batch + 1) * whole), count - 1).reshape(devices, per_device)
        return [parallel.stack([array[part] for part in parallel.own(rows)]) for array in arrays]

    results = []
    with Prefetch(shares, 0, -(-count // whole), workers=1, depth=2) as batches:
        for batch in batches:
            out = parallel.gather(function(*constants, *batch))
            results.append(out.reshape(-1, *out.shape[2:]))
    return np.concatenate(results)[:count]


def check_batches(count: int, batch_size: int, drop_last: bool) -> None:
    """Raises UserError for too few images to compare; warns of a last batch of one.

    Args:
        count: training images.
        batch_size, drop_last: of the config.
    """
    if count < 2:
        raise UserError(f"{count} image to train on; contrastive learning compares images, so it needs at least 2")
    if batch_size < 2:
        raise UserError(f"config.batch_size is {batch_size}; images are compared in a batch, so it needs 2")
    if count < batch_size and not drop_last:
        _log.info("Batches of all %d images, fewer than config.batch_size = %d", count, batch_size)
    if count % batch_size == 1 and not drop_last:
        _log.warning(
            "The last batch of each epoch has 1 image (%d images in batches of %d): with nothing to compare it with, "
            "its loss is 0, and it distorts the running statistics of BatchNorm. Set config.drop_last=True or another "
            "config.batch_size.",
            count,
            batch_size,
        )
