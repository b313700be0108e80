"""Features of the trained network for evaluation: dense weights, BatchNorm of branch 0 with its running statistics.

For a network whose weights have changed, for example by pruning, the statistics are estimated again.
"""

import copy
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from kernels.device.dispatch import custom_calls
from sdclr_jax.data.batches import map_rows
from sdclr_jax.data.image_files import Canvas, ImageFiles, as_pixels
from sdclr_jax.model.contrastive import ContrastiveNet
from sdclr_jax.model.norm import DENSE, BranchNorm
from sdclr_jax.views.views import probe_views, to_float
from trainlib.run import parallel
from trainlib.store.programs import StoredStep

CROPS = ("none", "padded", "resized")
CALIBRATION_BATCH = 128


class FeatureReader:
    """Computes features of images by a network without an axis name, over all devices, `batch_size` at a time.

    Training images are augmented by `crop`, one of `CROPS` (see `views.probe_views`), from the key `rng`.
    """

    def __init__(self, model: ContrastiveNet, variables: Any, crop: str, batch_size: int, rng: jax.Array):
        if crop not in CROPS:
            raise ValueError(f"config.probe_crop is {crop!r}; known: {', '.join(CROPS)}")
        self._crop, self._batch_size = crop, batch_size
        self._variables = parallel.to_devices(variables)
        self._key = parallel.to_devices(jax.random.key_data(rng))

        def features(variables: Any, images: jax.Array) -> jax.Array:
            return model.apply(variables, images, DENSE, False).features.astype(jnp.float32)

        def plain(variables: Any, images: jax.Array) -> jax.Array:
            return features(variables, to_float(images))

        @functools.cache
        def augmented_to(size: int) -> Callable[..., jax.Array]:
            def augmented(variables, key, epoch, images, examples):
                pixels, sizes = images if isinstance(images, Canvas) else (images, None)
                how = {"size": size, "method": crop, "sizes": sizes}
                return features(variables, probe_views(jax.random.wrap_key_data(key), epoch, examples, pixels, **how))

            make = functools.partial(parallel.pmap_step, augmented, in_axes=(None, None, None, 0, 0), out_axes=0)
            return stored(make, "augmented", crop, size)

        def stored(make: Callable[[], Callable], *about: Any) -> StoredStep:
            about = ["sdclr_jax.probe.features", *about, repr(model)]
            return StoredStep(make, about, describe=_describe, custom_calls=custom_calls)

        self._plain = stored(functools.partial(parallel.pmap_step, plain, in_axes=(None, 0), out_axes=0), "plain")
        self._augmented_to = augmented_to

    def with_variables(self, variables: Any) -> "FeatureReader":
        """A reader of other weights for the same network, which shares what is compiled."""
        other = copy.copy(self)
        other._variables = parallel.to_devices(variables)
        return other

    def plain(self, images: np.ndarray | ImageFiles) -> np.ndarray:
        """uint8 [N, H, W, 3] -> float32 [N, C], of the images as they are; of files, of their central crops."""
        return map_rows(self._plain, (self._variables,), (as_pixels(images),), self._batch_size)

    def by_epoch(self, images: np.ndarray | ImageFiles) -> Callable[[int], np.ndarray]:
        """Function of the epoch -> float32 [N, C], of the images as augmented in that epoch."""
        if self._crop == "none":
            features = self.plain(images)
            return lambda epoch: features
        examples = np.arange(len(images), dtype=np.int32)
        pixels, size = (images.canvases, images.size) if isinstance(images, ImageFiles) else (images, images.shape[1])
        augmented = self._augmented_to(size)

        def of_epoch(epoch: int) -> np.ndarray:
            constants = (self._variables, self._key, parallel.to_devices(np.int32(epoch)))
            return map_rows(augmented, constants, (pixels, examples), self._batch_size)

        return of_epoch


def _describe(*arguments: Any) -> str:
    return f"the features of {jax.tree.leaves(arguments[-1])[0].shape[1]} images at a time"


def make_calibration(model: ContrastiveNet, images: np.ndarray) -> Callable[[Any, Any], Any]:
    """calibrated(params, batch_stats) -> `batch_stats`, the dense branch's estimated again for pruned weights.

    They are the means over batches of up to 128 of the batch's own mean and unbiased variance, as training measures
    them; an incomplete last batch is skipped.

    `model` is the network, without an axis name; `images` uint8 [N, H, W, 3] are unaugmented, N >= 2.
    """
    size = min(CALIBRATION_BATCH, len(images))

    @jax.jit
    def measure(params: Any, batch_stats: Any, batch: jax.Array) -> Any:
        variables = {"params": params, "batch_stats": jax.tree.map(jnp.zeros_like, batch_stats)}
        updated = model.apply(variables, to_float(batch), DENSE, True, mutable=["batch_stats"])[1]
        return jax.tree.map(lambda moved: moved / BranchNorm.momentum, updated["batch_stats"])

    def calibrated(params: Any, batch_stats: Any) -> Any:
        starts = range(0, len(images) - size + 1, size)
        measured = [measure(params, batch_stats, images[start : start + size]) for start in starts]
        mean = traverse_util.flatten_dict(jax.tree.map(lambda *parts: np.mean(parts, axis=0), *measured))
        dense = {path: leaf for path, leaf in mean.items() if path[-1].endswith(f"_{DENSE}")}
        return traverse_util.unflatten_dict(traverse_util.flatten_dict(batch_stats) | dense)

    return calibrated
