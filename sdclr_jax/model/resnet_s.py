"""resnet32_s: the narrow CIFAR ResNet of He et al., 2016, section 4.2, with parameter-free (option A) shortcuts."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from sdclr_jax.model.norm import ForwardMode
from sdclr_jax.model.resnet import Conv, kaiming_fan_in, standardize


def option_a_shortcut(x: jax.Array, channels: int, stride: int) -> jax.Array:
    """Every `stride`-th pixel, and zero channels on both sides.

    Args:
      x: float [N, H, W, C].
      channels: output channels; channels - C is even.
    """
    side = (channels - x.shape[-1]) // 2
    return jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (side, side)))


class NarrowBlock(nn.Module):
    """Two 3 x 3 convolutions and an option-A shortcut; attributes as in `resnet.BasicBlock`."""

    channels: int
    stride: int
    norm: Callable
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, x: jax.Array, mode: ForwardMode) -> jax.Array:
        """[N, H, W, C] -> [N, H / stride, W / stride, channels]."""
        make_conv = partial(Conv, init=kaiming_fan_in, dtype=self.dtype)
        y = nn.relu(self.norm(name="bn1")(make_conv(self.channels, 3, self.stride, name="conv1")(x), mode))
        y = self.norm(name="bn2")(make_conv(self.channels, 3, name="conv2")(y), mode)
        return nn.relu(y + option_a_shortcut(x, self.channels, self.stride))


class NarrowResNet(nn.Module):
    """A 3 x 3 stem, stages of 16, 32 and 64 channels with `depth` blocks each, global average pool.

    Attributes: `depth` blocks per stage (5 for 32 layers); `norm` makes a `BranchNorm` from a name; `dtype` of the
    convolutions, None for the inputs' and parameters' type.
    """

    depth: int
    norm: Callable
    dtype: jnp.dtype | None = None

    @nn.compact
    def __call__(self, images: jax.Array, mode: ForwardMode) -> jax.Array:
        """RGB in [0, 1], float [N, H, W, 3] -> pooled features [N, 64]."""
        x = standardize(images)
        x = Conv(16, 3, init=kaiming_fan_in, dtype=self.dtype, name="conv1")(x)
        x = nn.relu(self.norm(name="bn1")(x, mode))
        for stage, width in enumerate((16, 32, 64), start=1):
            for i in range(self.depth):
                stride = 2 if stage > 1 and i == 0 else 1
                x = NarrowBlock(width, stride, self.norm, self.dtype, name=f"layer{stage}_{i}")(x, mode)
        self.sow("intermediates", "maps", x)  # read by grad_cam
        return x.mean((1, 2))


resnet32_s = partial(NarrowResNet, 5)
