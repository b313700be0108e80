"""Where a training step's images come from: all of them on the device, or a batch at a time from the disk.

Seed and step alone decide which images they are, so that either resumes anywhere.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from sdclr_jax.data.batches import Order
from sdclr_jax.data.image_files import Canvas, ImageFiles
from trainlib.run import parallel
from trainlib.run.prefetch import prefetch


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

    batches = functools.partial(prefetch, make_batch, workers=2, depth=3)
    return ImageFeed(0, lambda canvas, examples: (canvas.pixels, canvas.sizes), batches)
