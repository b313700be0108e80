"""Random views of images, made on the device from keys that belong to the example, not to its place in a batch."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sdclr_jax.views.color import grayscale, jitter
from sdclr_jax.views.crop import Box, gaussian_blur, padded_crop, random_box, resized_crop


@dataclasses.dataclass(frozen=True)
class ViewConfig:
    """Distribution of the pre-training views; the defaults are the original's for CIFAR.

    `flip`, `jitter`, `gray` and `blur` are probabilities, `area` and `ratio` ranges of the crop's share of the image
    and of its width / height, `sigma` that of the blur's deviation in pixels. `strengths` are of brightness, contrast,
    saturation (factors 1 +- strength) and hue (turns +- strength).
    """

    size: int = 32
    area: tuple[float, float] = (0.1, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    jitter: float = 0.8
    strengths: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    gray: float = 0.2
    blur: float = 0.0
    sigma: tuple[float, float] = (0.1, 2.0)


CIFAR_VIEWS = ViewConfig()
IMAGENET_VIEWS = ViewConfig(size=224, area=(0.08, 1.0), blur=0.5)


class ViewParams(NamedTuple):
    """What was drawn for one view: [] each, but `order` int32 [4] and `factors` float32 [4] of `color.jitter`."""

    box: Box
    flip: jax.Array
    jitter: jax.Array
    order: jax.Array
    factors: jax.Array
    gray: jax.Array
    blur: jax.Array
    sigma: jax.Array


def draw_view(rng: jax.Array, height: jax.Array | int, width: jax.Array | int, config: ViewConfig) -> ViewParams:
    """The parameters of one view of a `height` x `width` image, drawn from the jax key `rng` []."""
    box_key, other_key = jax.random.split(rng)
    uniform = jax.random.uniform(other_key, (13,), jnp.float32)
    strengths = jnp.asarray(config.strengths, jnp.float32)
    centres = jnp.array([1, 1, 1, 0], jnp.float32)
    lowest = jnp.maximum(centres - strengths, jnp.array([0, 0, 0, -0.5], jnp.float32))
    return ViewParams(
        box=random_box(box_key, height, width, config.area, config.ratio),
        flip=uniform[0] < config.flip,
        jitter=uniform[1] < config.jitter,
        gray=uniform[2] < config.gray,
        blur=uniform[3] < config.blur,
        sigma=config.sigma[0] + (config.sigma[1] - config.sigma[0]) * uniform[4],
        factors=lowest + (centres + strengths - lowest) * uniform[5:9],
        order=jnp.argsort(uniform[9:13]),
    )


def apply_view(image: jax.Array, view: ViewParams, config: ViewConfig) -> jax.Array:
    """Crop and resize, mirror, jitter, grey, blur: the original's order; uint8 [H, W, 3] -> uint8 [size, size, 3].

    Only `config.size`, `config.blur` (whether a blur can occur) and the range `config.sigma` are used.
    """
    image = resized_crop(image, view.box, (config.size, config.size))
    image = jnp.where(view.flip, image[:, ::-1], image)
    image = jnp.where(view.jitter, jitter(image, view.order, view.factors), image)
    image = jnp.where(view.gray, grayscale(image), image)
    if config.blur > 0:
        image = jnp.where(view.blur, gaussian_blur(image, view.sigma, config.sigma[1]), image)
    return image


def example_key(rng: jax.Array, epoch: jax.Array | int, example: jax.Array | int, use: jax.Array | int) -> jax.Array:
    """The key [] of one use (view 0, view 1, ...) of one example in one epoch, at any place in any batch."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(rng, epoch), example), use)


def to_float(images: jax.Array) -> jax.Array:
    """uint8 [...] 0..255 -> float32 [...] 0..1, the network's input."""
    return images.astype(jnp.float32) / 255


def two_views(
    rng: jax.Array,
    epoch: jax.Array | int,
    examples: jax.Array,
    images: jax.Array,
    config: ViewConfig,
    *,
    sizes: jax.Array | None = None,
) -> jax.Array:
    """Two random views of every image.

    Args:
        rng: jax key of the run.
        examples: int32 [N], the images' numbers in the data set.
        images: uint8 [N, H, W, 3], RGB.
        sizes: int32 [N, 2], height and width of each image in the upper left of its square; None when all images fill
            theirs. Pixels outside are not read.

    Returns:
        float32 [2, N, size, size, 3] in [0, 1].
    """

    def one(use: jax.Array, example: jax.Array, image: jax.Array, size: jax.Array | None) -> jax.Array:
        key = example_key(rng, epoch, example, use)
        height, width = image.shape[:2] if size is None else size
        return apply_view(image, draw_view(key, height, width, config), config)

    batch = jax.vmap(one, (None, 0, 0, 0))
    return to_float(jax.vmap(batch, (0, None, None, None))(jnp.arange(2), examples, images, sizes))


def probe_views(
    rng: jax.Array,
    epoch: jax.Array | int,
    examples: jax.Array,
    images: jax.Array,
    *,
    size: int,
    method: str,
    sizes: jax.Array | None = None,
) -> jax.Array:
    """Training images of the linear evaluation, randomly cropped and mirrored.

    Arguments as in `two_views`. The method "padded" is a crop out of 4 zero pixels on all sides (CIFAR), of images that
    fill their squares and keep their size; "resized" a random crop of 8 to 100 % of the area, bilinear (ImageNet).

    Returns:
        float32 [N, size, size, 3] in [0, 1].
    """
    padded = method == "padded"
    if not padded and method != "resized":
        raise ValueError(f"crops {method!r}; known: 'padded', 'resized'")
    if padded and images.shape[1:3] != (size, size):
        raise ValueError(f"padded crops keep the images' size {images.shape[1:3]}, asked for {size}")
    if padded and sizes is not None:
        raise ValueError("images of different sizes have no padded crops; config.probe_crop must be 'resized'")

    def one(example: jax.Array, image: jax.Array, extent: jax.Array | None) -> jax.Array:
        crop_key, flip_key = jax.random.split(example_key(rng, epoch, example, 0))
        if padded:
            image = padded_crop(image, *jax.random.randint(crop_key, (2,), 0, 9), padding=4)
        else:
            height, width = image.shape[:2] if extent is None else extent
            box = random_box(crop_key, height, width, IMAGENET_VIEWS.area, IMAGENET_VIEWS.ratio)
            image = resized_crop(image, box, (size, size), "bilinear")
        return jnp.where(jax.random.bernoulli(flip_key), image[:, ::-1], image)

    return to_float(jax.vmap(one)(examples, images, sizes))
