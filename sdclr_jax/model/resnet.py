"""ResNet-18, -34 and -50 with the CIFAR or the ImageNet stem, and the narrow ResNet-32 of CIFAR (He et al., 2016).

The bottleneck is that of v1.5; the narrow network of section 4.2 has parameter-free (option A) shortcuts.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from kernels.device.image_conv import conv2d
from sdclr_jax.model.norm import ForwardMode

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

kaiming_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
kaiming_fan_in = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


def standardize(images: jax.Array) -> jax.Array:
    """RGB images in [0, 1], float [N, H, W, 3] -> minus the ImageNet mean, over its deviation (also for CIFAR).

    The constants are the float32 numbers of the original's buffers, in every precision.
    """
    mean, std = (jnp.asarray(value, jnp.float32).astype(images.dtype) for value in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / std


class Conv(nn.Module):
    """A `size` x `size` convolution without bias, padded by size // 2 on every side as torch pads.

    `dtype` is of the arithmetic, None for the type of inputs and kernel.
    """

    channels: int
    size: int
    stride: int = 1
    init: Callable = kaiming_fan_out
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[N, H, W, C] -> [N, H / stride, W / stride, channels]."""
        kernel = self.param("kernel", self.init, (self.size, self.size, x.shape[-1], self.channels))
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return conv2d(x, kernel, self.stride, self.size // 2)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, a 1 x 1 convolution where the shape changes."""

    channels: int
    stride: int
    norm: Callable
    init: Callable = kaiming_fan_out
    dtype: jnp.dtype | None = None

    def conv(self, channels: int, size: int, stride: int = 1, *, name: str) -> Conv:
        """A convolution of the block."""
        return Conv(channels, size, stride, init=self.init, dtype=self.dtype, name=name)

    def shortcut(self, x: jax.Array, mode: ForwardMode) -> jax.Array:
        """[N, H, W, C] -> [N, H / stride, W / stride, channels]."""
        if self.stride == 1 and x.shape[-1] == self.channels:
            return x
        x = self.conv(self.channels, 1, self.stride, name="downsample_conv")(x)
        return self.norm(name="downsample_bn")(x, mode)

    @nn.compact
    def __call__(self, x: jax.Array, mode: ForwardMode) -> jax.Array:
        """[N, H, W, C] -> [N, H / stride, W / stride, channels]."""
        y = nn.relu(self.norm(name="bn1")(self.conv(self.channels, 3, self.stride, name="conv1")(x), mode))
        y = self.norm(name="bn2")(self.conv(self.channels, 3, name="conv2")(y), mode)
        return nn.relu(y + self.shortcut(x, mode))


class Bottleneck(BasicBlock):
    """1 x 1, 3 x 3 (which has the stride) and 1 x 1 convolutions; attributes as in `BasicBlock`."""

    @nn.compact
    def __call__(self, x: jax.Array, mode: ForwardMode) -> jax.Array:
        """[N, H, W, C] -> [N, H / stride, W / stride, channels]; inside, channels / 4."""
        inner = self.channels // 4
        y = nn.relu(self.norm(name="bn1")(self.conv(inner, 1, name="conv1")(x), mode))
        y = nn.relu(self.norm(name="bn2")(self.conv(inner, 3, self.stride, name="conv2")(y), mode))
        y = self.norm(name="bn3")(self.conv(self.channels, 1, name="conv3")(y), mode)
        return nn.relu(y + self.shortcut(x, mode))


class ResNet(nn.Module):
    """Stem, stages of `depths` blocks and `widths` output channels, global average pool.

    The stem "cifar" is 3 x 3, stride 1, no pool; "imagenet" 7 x 7, stride 2, then a 3 x 3 max-pool of stride 2. `norm`
    makes a `BranchNorm` from a name.
    """

    block: type[BasicBlock]
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    stem: str
    norm: Callable
    dtype: jnp.dtype | None = None
    stem_width: int = 64
    init: Callable = kaiming_fan_out

    @nn.compact
    def __call__(self, images: jax.Array, mode: ForwardMode) -> jax.Array:
        """RGB in [0, 1], float [N, H, W, 3] -> pooled features [N, widths[-1]]."""
        if self.stem not in ("cifar", "imagenet"):
            raise ValueError(f"stem {self.stem!r}; known: 'cifar', 'imagenet'")
        size, stride = (3, 1) if self.stem == "cifar" else (7, 2)
        x = standardize(images)
        x = Conv(self.stem_width, size, stride, init=self.init, dtype=self.dtype, name="conv1")(x)
        x = nn.relu(self.norm(name="bn1")(x, mode))
        if self.stem == "imagenet":
            x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for stage, (depth, width) in enumerate(zip(self.depths, self.widths), start=1):
            for i in range(depth):
                stride = 2 if stage > 1 and i == 0 else 1
                x = self.block(width, stride, self.norm, self.init, self.dtype, name=f"layer{stage}_{i}")(x, mode)
        self.sow("intermediates", "maps", x)  # read by grad_cam
        return x.mean((1, 2))


def option_a_shortcut(x: jax.Array, channels: int, stride: int) -> jax.Array:
    """Every `stride`-th pixel of [N, H, W, C], and zero channels on both sides; channels - C is even."""
    side = (channels - x.shape[-1]) // 2
    return jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (side, side)))


class NarrowBlock(BasicBlock):
    """Two 3 x 3 convolutions and an option-A shortcut."""

    def shortcut(self, x: jax.Array, mode: ForwardMode) -> jax.Array:
        """[N, H, W, C] -> [N, H / stride, W / stride, channels]."""
        return option_a_shortcut(x, self.channels, self.stride)


def narrow_resnet(depth: int, norm: Callable, dtype: jnp.dtype | None = None) -> ResNet:
    """A 3 x 3 stem of 16 channels and stages of 16, 32 and 64 channels with `depth` blocks each (5 for 32 layers)."""
    depths, widths = (depth,) * 3, (16, 32, 64)
    return ResNet(NarrowBlock, depths, widths, "cifar", norm, dtype, stem_width=16, init=kaiming_fan_in)


resnet18 = partial(ResNet, BasicBlock, (2, 2, 2, 2), (64, 128, 256, 512))
resnet34 = partial(ResNet, BasicBlock, (3, 4, 6, 3), (64, 128, 256, 512))
resnet50 = partial(ResNet, Bottleneck, (3, 4, 6, 3), (256, 512, 1024, 2048))
resnet32_s = partial(narrow_resnet, 5)
