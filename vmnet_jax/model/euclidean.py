"""Euclidean branch: a U-Net of sparse convolutions on the voxels of all levels."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vmnet_jax.model.layers import Layer, Linear, MaskedBatchNorm, StridedConv, SubmanifoldConv, TransposedConv
from vmnet_jax.model.scene_batch import SceneBatch


class ConvBlock(Layer):
    """Sparse convolution of the class `conv`, batch normalisation, ReLU; features: number of output channels."""

    conv: type[Layer]
    features: int

    @nn.compact
    def __call__(self, x: jax.Array, tables: tuple[jax.Array, ...], count: jax.Array, train: bool) -> jax.Array:
        """x [P_in, C_in], the tables of the convolution, count: real rows of the output -> [P_out, features]."""
        x = self.conv(self.features, **self.common, name="conv")(x, *tables)
        return MaskedBatchNorm(relu=True, **self.common, name="norm")(x, count, train)


class EncoderLevel(Layer):
    """Two blocks and the identity around them."""

    @nn.compact
    def __call__(self, x: jax.Array, batch: SceneBatch, level: int, train: bool) -> jax.Array:
        """x [P_l, C] -> [P_l, C]"""
        y = x
        for index in range(2):
            block = ConvBlock(SubmanifoldConv, x.shape[-1], **self.common, name=f"block_{index}")
            y = block(y, (batch.neighbours[level],), batch.voxel_count[level], train)
        return y + x


class DecoderLevel(Layer):
    """Upsampling, concatenation with the encoder's features, two blocks and a linear map around them."""

    @nn.compact
    def __call__(self, x: jax.Array, encoded: jax.Array, batch: SceneBatch, level: int, train: bool) -> jax.Array:
        """x [P_{l+1}, C_{l+1}], encoded [P_l, C] -> [P_l, C]"""
        width, count = encoded.shape[-1], batch.voxel_count[level]
        up = ConvBlock(TransposedConv, width, **self.common, name="up")
        x = up(x, (batch.children[level], batch.slots[level]), count, train)
        y = joined = jnp.concatenate([x, encoded], axis=1)
        for index in range(2):
            block = ConvBlock(SubmanifoldConv, width, **self.common, name=f"block_{index}")
            y = block(y, (batch.neighbours[level],), count, train)
        return y + Linear(width, use_bias=False, **self.common, name="shortcut")(joined)


class EuclideanBranch(Layer):
    """The U-Net of the voxels."""

    num_classes: int
    widths: tuple[int, ...]  # channels of each level of the batch, finest first

    @nn.compact
    def __call__(self, batch: SceneBatch, train: bool) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """Logits [P_0, num_classes] and the features [P_l, widths[l]] of each level."""
        widths, levels = self.widths, len(batch.neighbours)
        if len(widths) != levels:
            raise ValueError(f"VMNet: one width for each of {levels} levels, got {len(widths)}: {widths}")
        counts, bottom = batch.voxel_count, levels - 1
        stem = ConvBlock(SubmanifoldConv, widths[0], **self.common, name="stem")
        x, encoded = stem(batch.features, (batch.neighbours[0],), counts[0], train), []
        for level in range(bottom):
            encoded.append(EncoderLevel(**self.common, name=f"encoder_{level}")(x, batch, level, train))
            down = ConvBlock(StridedConv, widths[level + 1], **self.common, name=f"down_{level}")
            x = down(encoded[-1], (batch.children[level], batch.slots[level]), counts[level + 1], train)
        x = EncoderLevel(**self.common, name=f"encoder_{bottom}")(x, batch, bottom, train)
        decoded = [x]
        for level in reversed(range(bottom)):
            x = DecoderLevel(**self.common, name=f"decoder_{level}")(x, encoded[level], batch, level, train)
            decoded.append(x)
        logits = Linear(self.num_classes, **self.common, name="head")(x)
        real = (jnp.arange(x.shape[0]) < counts[0])[:, None]
        return jnp.where(real, logits, 0), tuple(reversed(decoded))
