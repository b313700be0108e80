"""Euclidean branch: a U-Net of sparse convolutions on the voxels of seven levels."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype

from vmnet_jax.model.layers import Linear, MaskedBatchNorm, StridedConv, SubmanifoldConv, TransposedConv
from vmnet_jax.model.scene_batch import NUM_LEVELS, SceneBatch


class ConvBlock(nn.Module):
    """Sparse convolution, batch normalisation, ReLU.

    Attributes:
        conv: the class of the convolution.
        features: number of output channels.
    """

    conv: type[nn.Module]
    features: int
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, tables: tuple[jax.Array, ...], count: jax.Array, train: bool) -> jax.Array:
        """x [P_in, C_in], the tables of the convolution, count: real rows of the output -> [P_out, features]."""
        x = self.conv(self.features, dtype=self.dtype, param_dtype=self.param_dtype, name="conv")(x, *tables)
        kinds = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        norm = MaskedBatchNorm(axis_name=self.axis_name, relu=True, **kinds, name="norm")
        return norm(x, count, train)


class EncoderLevel(nn.Module):
    """Two blocks and the identity around them."""

    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, neighbours: jax.Array, count: jax.Array, train: bool) -> jax.Array:
        """x [P, C] -> [P, C]"""
        y, common = x, (self.axis_name, self.dtype, self.param_dtype)
        for index in range(2):
            block = ConvBlock(SubmanifoldConv, x.shape[-1], *common, name=f"block_{index}")
            y = block(y, (neighbours,), count, train)
        return y + x


class DecoderLevel(nn.Module):
    """Upsampling, concatenation with the encoder's features, two blocks and a linear map around them."""

    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        encoded: jax.Array,
        up_tables: tuple[jax.Array, jax.Array],
        neighbours: jax.Array,
        count: jax.Array,
        train: bool,
    ) -> jax.Array:
        """x [P_coarse, C_coarse], encoded [P, C], up_tables (children, slots) -> [P, C]"""
        width = encoded.shape[-1]

        def block(name, conv, x, tables):
            module = ConvBlock(conv, width, self.axis_name, self.dtype, self.param_dtype, name=name)
            return module(x, tables, count, train)

        joined = jnp.concatenate([block("up", TransposedConv, x, up_tables), encoded], axis=1)
        y = block("block_0", SubmanifoldConv, joined, (neighbours,))
        y = block("block_1", SubmanifoldConv, y, (neighbours,))
        shortcut = Linear(width, use_bias=False, dtype=self.dtype, param_dtype=self.param_dtype, name="shortcut")
        return y + shortcut(joined)


class VoxelFeatures(NamedTuple):
    """What the Euclidean branch computes: logits [P_0, num_classes] and the features [P_l, widths[l]] of each level."""

    logits: jax.Array
    levels: tuple[jax.Array, ...]


class EuclideanBranch(nn.Module):
    """The U-Net of the voxels.

    Attributes:
        num_classes: K.
        widths: channels of levels 0..6.
        axis_name: mapped axis of the devices that share the batch statistics.
    """

    num_classes: int
    widths: tuple[int, ...]
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: SceneBatch, train: bool) -> VoxelFeatures:
        common = {"axis_name": self.axis_name, "dtype": self.dtype, "param_dtype": self.param_dtype}
        counts, bottom = batch.voxel_count, NUM_LEVELS - 1
        stem = ConvBlock(SubmanifoldConv, self.widths[0], **common, name="stem")
        x = stem(batch.features, (batch.neighbours[0],), counts[0], train)
        encoded = []
        for level in range(bottom):
            encoder = EncoderLevel(**common, name=f"encoder_{level}")
            encoded.append(encoder(x, batch.neighbours[level], counts[level], train))
            down = ConvBlock(StridedConv, self.widths[level + 1], **common, name=f"down_{level}")
            x = down(encoded[-1], (batch.children[level], batch.slots[level]), counts[level + 1], train)
        x = EncoderLevel(**common, name=f"encoder_{bottom}")(x, batch.neighbours[bottom], counts[bottom], train)
        levels = [x]
        for level in reversed(range(bottom)):
            up_tables = (batch.children[level], batch.slots[level])
            decoder = DecoderLevel(**common, name=f"decoder_{level}")
            x = decoder(x, encoded[level], up_tables, batch.neighbours[level], counts[level], train)
            levels.append(x)
        logits = Linear(self.num_classes, dtype=self.dtype, param_dtype=self.param_dtype, name="head")(x)
        real = (jnp.arange(x.shape[0]) < counts[0])[:, None]
        return VoxelFeatures(jnp.where(real, logits, 0), tuple(reversed(levels)))
