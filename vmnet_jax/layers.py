"""Layers of the two branches: linear maps, sparse convolutions, masked normalisations, attention along the mesh.

Real rows come first and padding rows are zero, before and after every layer (see docs/layout.md). Initial weights
are those of torch and torchsparse 1.1.0, uniform within +-1 / sqrt(fan).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer

from kernels.device.attention import one_ring_attention
from kernels.device.sparse_conv import submanifold_conv
from kernels.device.strided_conv import strided_conv, transposed_conv
from vmnet_jax.scene_batch import MeshGraph


def symmetric_uniform(bound: float) -> Initializer:
    """Initialiser that draws uniformly from [-bound, bound)."""

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Linear(nn.Module):
    """`x @ kernel + bias` for x [N, C_in], kernel [C_in, features]. With a bias, padding rows become the bias."""

    features: int
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = symmetric_uniform(x.shape[-1] ** -0.5)
        kernel = self.param("kernel", init, (x.shape[-1], self.features), self.param_dtype)
        bias = self.param("bias", init, (self.features,), self.param_dtype) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = x @ kernel
        return y if bias is None else y + bias


class SubmanifoldConv(nn.Module):
    """3x3x3 convolution without bias on the voxels there are: [P, C_in] -> [P, features]."""

    features: int
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, neighbours: jax.Array) -> jax.Array:
        shape = (27, x.shape[-1], self.features)
        kernel = self.param("kernel", symmetric_uniform((27 * x.shape[-1]) ** -0.5), shape, self.param_dtype)
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return submanifold_conv(x, kernel, neighbours)


class StridedConv(nn.Module):
    """2x2x2 convolution of stride 2 without bias: [P_fine, C_in] -> [P_coarse, features]."""

    features: int
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, children: jax.Array, slots: jax.Array) -> jax.Array:
        shape = (8, x.shape[-1], self.features)
        kernel = self.param("kernel", symmetric_uniform((8 * x.shape[-1]) ** -0.5), shape, self.param_dtype)
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return strided_conv(x, kernel, children, slots)


class TransposedConv(nn.Module):
    """Transpose of the 2x2x2 convolution of stride 2, without bias: [P_coarse, C_in] -> [P_fine, features]."""

    features: int
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, children: jax.Array, slots: jax.Array) -> jax.Array:
        shape = (8, x.shape[-1], self.features)
        kernel = self.param("kernel", symmetric_uniform(self.features**-0.5), shape, self.param_dtype)
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return transposed_conv(x, kernel, children, slots)


class MaskedBatchNorm(nn.Module):
    """Batch normalisation over the real rows; as torch's, the running variance is the unbiased one.

    Attributes:
        momentum: weight of the new statistics in the running ones (torch's convention, 0.1).
        epsilon: added to the variance.
        axis_name: mapped axis of the devices that share the statistics; sums and counts are reduced over it.
    """

    momentum: float = 0.1
    epsilon: float = 1e-5
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, count: jax.Array, train: bool) -> jax.Array:
        """x [N, C], count int32 []: number of real rows, the first ones, or bool [N]: which are real -> [N, C], the
        other rows zero."""
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, self.param_dtype)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, self.param_dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, self.param_dtype)
        real = (count if jnp.ndim(count) else jnp.arange(x.shape[0]) < count)[:, None]
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if train:
            rest, shift, mean, var, rows = self._moments(wide, real, count)
            if not self.is_initializing():
                unbiased = var * rows / jnp.maximum(rows - 1, 1)
                running_mean.value += self.momentum * (shift + mean - running_mean.value)
                running_var.value += self.momentum * (unbiased - running_var.value)
        else:
            rest, mean, var = wide - running_mean.value, 0, running_var.value
        gain = jax.lax.rsqrt(var + self.epsilon) * scale
        y = rest * gain + (bias - mean * gain)
        return jnp.where(real, y, 0).astype(self.dtype or y.dtype)

    def _moments(self, x: jax.Array, real: jax.Array, count: jax.Array):
        """rest = x - shift [N, C]; shift, mean and biased variance of rest [C], number of rows [], over all devices.

        The shift is the mean up to rounding, and a constant to the derivative: the mean that is left is exact to the
        last digits, the variance does not cancel, and the backward pass is short.
        """
        axis = None if self.is_initializing() else self.axis_name
        rows = jnp.maximum(_psum(jnp.sum(count), axis), 1).astype(x.dtype)
        shift = jax.lax.stop_gradient(_psum(x.sum(0), axis) / rows)
        rest = jnp.where(real, x - shift, 0)
        mean, square = _psum((rest.sum(0), jnp.square(rest).sum(0)), axis)
        mean, square = mean / rows, square / rows
        return rest, shift, mean, square - jnp.square(mean), rows


class GraphLayerNorm(nn.Module):
    """`(x - mean) / (std + eps) * scale + bias` over all vertices and channels of a graph; scale and bias are scalars.

    After LayerNorm of PyG 1.6.3: the standard deviation is the biased one and eps is added to it, not to the variance.

    Attributes:
        layer_norm_scope: "scene", each scene has its own mean and deviation; "batch", all scenes share one, as in the
            original program, where a scene's output depends on the scenes that it is batched with.
        epsilon: added to the standard deviation.
        axis_name: mapped axis of the devices that share a batch; read for "batch" only.
    """

    layer_norm_scope: str = "scene"
    epsilon: float = 1e-5
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, graph: MeshGraph) -> jax.Array:
        """x [V, C] -> [V, C], padding rows zero."""
        scale = self.param("scale", nn.initializers.ones, (), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (), self.param_dtype)
        if self.layer_norm_scope == "scene":
            axis, member = None, graph.scene[:, None] == jnp.arange(graph.num_scenes)
        elif self.layer_norm_scope == "batch":
            axis, member = None if self.is_initializing() else self.axis_name, graph.real
        else:
            raise ValueError(f"GraphLayerNorm: layer_norm_scope is 'scene' or 'batch', got {self.layer_norm_scope!r}")
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        member = member.astype(wide.dtype)
        entries = jnp.maximum(_psum(member.sum(0), axis) * x.shape[-1], 1)
        shift = jax.lax.stop_gradient(_psum(_dot(wide.sum(1), member), axis) / entries)
        rest = jnp.where(graph.real, wide - _dot(member, shift)[:, None], 0)
        sums = _psum((_dot(rest.sum(1), member), _dot(jnp.square(rest).sum(1), member)), axis)
        mean, square = sums[0] / entries, sums[1] / entries
        gain = scale / (_sqrt(square - jnp.square(mean)) + self.epsilon)
        y = rest * _dot(member, gain)[:, None] + _dot(member, bias - mean * gain)[:, None]
        return jnp.where(graph.real, y, 0).astype(self.dtype or y.dtype)


def _psum(x, axis_name: str | None):
    return x if axis_name is None else jax.lax.psum(x, axis_name)


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """Sums per group of values [V] (with member [V, S]) and the way back [S] -> [V]: no scatter in either direction."""
    return jnp.dot(a, b, precision=jax.lax.Precision.HIGHEST)


def _sqrt(x: jax.Array) -> jax.Array:
    """Square root with derivative 0 at 0, as torch's standard deviation has it."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)


class TransformerConv(nn.Module):
    """Single-head attention of every vertex to its one-ring, plus a linear map of the vertex itself.

    After TransformerConv of PyG 1.6.3 (its unused edge weight is left out). `source` gives keys and values, `target`
    queries and the skip connection; a vertex without edges has the skip connection only.

    Attributes:
        shift: what the softmax subtracts, see `kernels.device.attention.one_ring_attention`.
    """

    features: int
    shift: str = "vertex"
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, source: jax.Array, target: jax.Array, graph: MeshGraph) -> jax.Array:
        """source [V, C_s], target [V, C_t] -> [V, features], padding rows zero."""

        def linear(name, x):
            return Linear(self.features, dtype=self.dtype, param_dtype=self.param_dtype, name=name)(x)

        query, key, value = linear("query", target), linear("key", source), linear("value", source)
        attended = one_ring_attention(query, key, value, graph.rings, graph.keep, shift=self.shift)
        return jnp.where(graph.real, attended + linear("skip", target), 0)
