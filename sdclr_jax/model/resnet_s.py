"""resnet32_s: the narrow CIFAR ResNet of He et al., 2016, section 4.2, with parameter-free (option A) shortcuts."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from sdclr_jax.model.norm import ForwardMode
from sdclr_jax.model.resnet import BasicBlock, ResNet, kaiming_fan_in


def option_a_shortcut(x: jax.Array, channels: int, stride: int) -> jax.Array:
    """Every `stride`-th pixel, and zero channels on both sides.

    Args:
        x: float [N, H, W, C].
        channels: output channels; channels - C is even.
    """
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


resnet32_s = partial(narrow_resnet, 5)
