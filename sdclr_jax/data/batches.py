"""Which images a step sees and where they come from, and evaluation of many images in padded batches.

All are spread over the devices of all processes. Training images are all on the device, or come a batch at a time from
the disk. Seed and step alone decide which images they are, so that either resumes anywhere.
"""

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from sdclr_jax.data.image_files import Canvas, ImageFiles
from trainlib.core.errors import UserError
from trainlib.run import parallel
from trainlib.run.prefetch import Prefetch

_log = logging.getLogger(__name__)


class Order(NamedTuple):
    """The batches of one epoch, S steps of n images on each of D devices.

    `examples` int32 [D, S, n] are rows of the training images, 0 where there is none; `rows` bool [D, S, n] is false
    for padding.
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
    num_examples: int, batch_size: int, devices: int, seed: int, epoch: int, *, drop_last: bool = False
) -> Order:
    """A random order of all examples, from seed and epoch alone, in batches of `batch_size` over all devices.

    A batch takes the examples one after the other, whatever the number of devices; devices share it in equal parts,
    the last ones padded.
    """
    steps = steps_per_epoch(num_examples, batch_size, drop_last)
    per_device = -(-batch_size // devices)
    shuffled = np.random.default_rng([seed, epoch]).permutation(num_examples)[: steps * batch_size]
    flat = np.pad(shuffled.astype(np.int32), (0, steps * batch_size - len(shuffled)), constant_values=-1)
    spare = ((0, 0), (0, devices * per_device - batch_size))
    padded = np.pad(flat.reshape(steps, batch_size), spare, constant_values=-1)
    examples = padded.reshape(steps, devices, per_device).transpose(1, 0, 2)
    return Order(np.maximum(examples, 0), examples >= 0)


class ConstantFeed(contextlib.AbstractContextManager, Iterator[Any]):
    """The same arrays at every step, ready at once: an iterator like `Prefetch`."""

    waited_s = 0.0

    def __init__(self, arrays: Any):
        self._arrays = arrays

    def __next__(self) -> Any:
        return self._arrays

    def __exit__(self, *exception: object) -> None:
        return None


class ImageFeed(NamedTuple):
    """How a training step comes by its images.

    Attributes:
        axis: of the devices in what a step holds; None if that is the same on all devices.
        select: on the device, (what a step holds, examples int32 [n]) -> images uint8 [n, H, W, 3] and their sizes
            int32 [n, 2], None for images of one size.
        batches: (start, stop) -> iterator of what the steps start .. stop - 1 hold, to be used in a `with` block.
    """

    axis: int | None
    select: Callable
    batches: Callable


def make_feed(images: np.ndarray | ImageFiles, order_of: Callable[[int], Order], per_epoch: int) -> ImageFeed:
    """The feed of the training images.

    Arrays uint8 [N, H, W, 3] are on every device, and a step needs nothing from the host. Files are decoded and sent
    to the devices a few steps ahead of the step that needs them. `order_of` gives the `Order` of an epoch.
    """
    if not isinstance(images, ImageFiles):
        resident = ConstantFeed(parallel.to_devices(images))
        return ImageFeed(None, lambda images, examples: (images[examples], None), lambda start, stop: resident)
    order_of = functools.lru_cache(maxsize=2)(order_of)

    def make_batch(step: int) -> Canvas:
        epoch, position = divmod(step, per_epoch)
        order = order_of(epoch)
        shares = zip(parallel.own(order.examples[:, position]), parallel.own(order.rows[:, position]))
        return parallel.stack([images[examples[rows]].read_canvas(len(rows)) for examples, rows in shares])

    batches = functools.partial(Prefetch, make_batch, workers=2, depth=3)
    return ImageFeed(0, lambda canvas, examples: (canvas.pixels, canvas.sizes), batches)


def map_rows(
    function: Callable[..., Any], constants: Sequence[Any], arrays: Sequence[np.ndarray], batch_size: int
) -> np.ndarray:
    """Applies `function` to all rows of `arrays`, `batch_size` at a time over all devices: NumPy [N, ...].

    Args:
        function: made by `parallel.pmap_step` with `out_axes=0`; function(*constants, *shares) -> one array [n, ...]
            per device.
        constants: first arguments, the same on all devices: from `parallel.to_devices` or a step.
        arrays: [N, ...] each, on the host, or array-likes that make their rows when asked (`image_files.Decoded`); the
            next rows are made while the devices work. The last batch is padded by repeating its last row.
    """
    devices, count = parallel.num_devices(), len(arrays[0])
    per_device = -(-min(batch_size, count) // devices)
    whole = devices * per_device

    def shares(batch: int) -> list[Any]:
        rows = np.minimum(np.arange(batch * whole, (batch + 1) * whole), count - 1).reshape(devices, per_device)
        return [parallel.stack([array[part] for part in parallel.own(rows)]) for array in arrays]

    with Prefetch(shares, 0, -(-count // whole), workers=1, depth=2) as batches:
        results = [parallel.gather(function(*constants, *batch)) for batch in batches]
    return np.concatenate([part for result in results for part in result])[:count]


def check_batches(count: int, batch_size: int, drop_last: bool) -> None:
    """Raises UserError for too few training images to compare; warns of a last batch of one."""
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
