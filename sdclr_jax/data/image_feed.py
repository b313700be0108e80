"""Where a training step's images come from: all of them on the device, or a batch at a time from the disk.

Both give the loop an iterator of what a step holds, and the step, on the device, `select` to find its images in that.
Seed and step alone decide which images they are, so that either resumes anywhere.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from sdclr_jax.data.batches import Order
from sdclr_jax.data.image_files import Canvas, ImageFiles
from trainlib.run import parallel
from trainlib.run.prefetch import Prefetch


class ConstantFeed(Iterator[Any]):
    """The same arrays at every step, ready at once: an iterator like `Prefetch`."""

    waited_s = 0.0

    def __init__(self, arrays: Any):
        self._arrays = arrays

    def __next__(self) -> Any:
        return self._arrays

    def __enter__(self) -> "ConstantFeed":
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class ResidentImages:
    """The whole training set on every device; a step needs nothing from the host.

    Args:
        images: uint8 [N, H, W, 3].

    Attributes:
        axis: of the devices in what a step holds, None: it is the same on all.
    """

    axis = None

    def __init__(self, images: np.ndarray):
        self._images = parallel.to_devices(images)

    @staticmethod
    def select(images: jax.Array, examples: jax.Array) -> tuple[jax.Array, None]:
        """The examples' images [n, H, W, 3], of one size."""
        return images[examples], None

    def batches(self, start: int, stop: int) -> ConstantFeed:
        """What the steps start .. stop - 1 hold."""
        return ConstantFeed(self._images)


class StreamedImages:
    """Each step's images, decoded and sent to the devices ahead of the step that needs them.

    Args:
        images: the training set.
        order_of: epoch -> its `Order`, on the host.
        per_epoch: steps of an epoch.

    Attributes:
        axis: of the devices in what a step holds.
    """

    axis = 0

    def __init__(self, images: ImageFiles, order_of: Callable[[int], Order], per_epoch: int):
        self._images, self._per_epoch = images, per_epoch
        self._order_of = functools.lru_cache(maxsize=2)(order_of)

    @staticmethod
    def select(canvas: Canvas, examples: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The batch as it came: canvases [n, S, S, 3] and sizes [n, 2]."""
        return canvas.pixels, canvas.sizes

    def batches(self, start: int, stop: int) -> Prefetch[Canvas]:
        """What the steps start .. stop - 1 hold, a few steps ahead."""
        return Prefetch(self._batch, start, stop, workers=2, depth=3)

    def _batch(self, step: int) -> Canvas:
        epoch, position = divmod(step, self._per_epoch)
        order = self._order_of(epoch)
        shares = zip(parallel.own(order.examples[:, position]), parallel.own(order.rows[:, position]))
        return parallel.stack([self._images[examples[rows]].read_canvas(len(rows)) for examples, rows in shares])


def make_source(
    images: np.ndarray | ImageFiles, order_of: Callable[[int], Order], per_epoch: int
) -> ResidentImages | StreamedImages:
    """The source that fits the training images, uint8 [N, H, W, 3] or files."""
    if isinstance(images, ImageFiles):
        return StreamedImages(images, order_of, per_epoch)
    return ResidentImages(images)
