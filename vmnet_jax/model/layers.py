"""Layers of the two branches: linear maps, sparse convolutions, masked normalisations, attention along the mesh.

Real rows come first and padding rows are zero, before and after every layer (see docs/layout.md).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype

from kernels.device.attention.api import one_ring_attention
from kernels.device.sparse_conv.api import strided_conv, submanifold_conv, transposed_conv
from vmnet_jax.model.init import symmetric_uniform
from vmnet_jax.model.norms import graph_layer_norm, masked_batch_norm
from vmnet_jax.model.scene_batch import MeshGraph


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


class VoxelConv(nn.Module):
    """A convolution without bias on the existing voxels.

    Attributes:
        features: number of output channels.
    """

    features: int
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    def with_kernel(self, x: jax.Array, taps: int, fan: int) -> tuple[jax.Array, jax.Array]:
        """x [P, C_in] and a kernel [taps, C_in, features] in the type of the computation; fan: of the initial draw."""
        shape = (taps, x.shape[-1], self.features)
        kernel = self.param("kernel", symmetric_uniform(fan**-0.5), shape, self.param_dtype)
        return promote_dtype(x, kernel, dtype=self.dtype)


class SubmanifoldConv(VoxelConv):
    """3x3x3 convolution: [P, C_in] -> [P, features]."""

    @nn.compact
    def __call__(self, x: jax.Array, neighbours: jax.Array) -> jax.Array:
        return submanifold_conv(*self.with_kernel(x, 27, 27 * x.shape[-1]), neighbours)


class StridedConv(VoxelConv):
    """2x2x2 convolution of stride 2: [P_fine, C_in] -> [P_coarse, features]."""

    @nn.compact
    def __call__(self, x: jax.Array, children: jax.Array, slots: jax.Array) -> jax.Array:
        return strided_conv(*self.with_kernel(x, 8, 8 * x.shape[-1]), children, slots)


class TransposedConv(VoxelConv):
    """Transpose of the 2x2x2 convolution of stride 2: [P_coarse, C_in] -> [P_fine, features]."""

    @nn.compact
    def __call__(self, x: jax.Array, children: jax.Array, slots: jax.Array) -> jax.Array:
        return transposed_conv(*self.with_kernel(x, 8, self.features), children, slots)


class MaskedBatchNorm(nn.Module):
    """Batch normalisation over the real rows; as torch's, the running variance is the unbiased one.

    A batch without any row leaves the running statistics as they are, one of a single row the running variance: it has
    no unbiased variance (torch refuses such a batch).

    Attributes:
        momentum: weight of the new statistics in the running ones (torch's convention, 0.1).
        epsilon: added to the variance.
        axis_name: mapped axis of the devices that share the statistics; sums and counts are reduced over it.
        relu: negative results become zero.
    """

    momentum: float = 0.1
    epsilon: float = 1e-5
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    relu: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, count: jax.Array, train: bool) -> jax.Array:
        """x [N, C], count int32 [] of the first, real rows, or bool [N] -> [N, C], the other rows zero."""
        shape = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, self.param_dtype)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, self.param_dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, self.param_dtype)
        real = (count if jnp.ndim(count) else jnp.arange(x.shape[0]) < count)[:, None]
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if train:
            axis = None if self.is_initializing() else self.axis_name
            y, moments = masked_batch_norm(wide, scale, bias, real, self.epsilon, axis, self.relu)
            mean, var, rows = jax.lax.stop_gradient(moments)
            if not self.is_initializing():
                unbiased = var * rows / jnp.maximum(rows - 1, 1)
                running_mean.value += jnp.where(rows > 0, self.momentum * (mean - running_mean.value), 0)
                running_var.value += jnp.where(rows > 1, self.momentum * (unbiased - running_var.value), 0)
        else:
            gain = jax.lax.rsqrt(running_var.value + self.epsilon) * scale
            y = (wide - running_mean.value) * gain + bias
            y = jnp.where(real, nn.relu(y) if self.relu else y, 0)
        return y.astype(self.dtype or y.dtype)


class GraphLayerNorm(nn.Module):
    """`(x - mean) / (std + eps) * scale + bias` over all vertices and channels of a graph; scale and bias are scalars.

    After LayerNorm of PyG 1.6.3, see `vmnet_jax.model.norms.graph_layer_norm`.

    Attributes:
        layer_norm_scope: "scene", each scene has its own mean and deviation; "batch", all scenes share one, as in the
            original program, where a scene's output depends on the scenes that it is batched with.
        epsilon: added to the standard deviation.
        axis_name: mapped axis of the devices that share a batch; read for "batch" only.
        relu: negative results become zero.
    """

    layer_norm_scope: str = "scene"
    epsilon: float = 1e-5
    axis_name: str | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    relu: bool = False

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
        y = graph_layer_norm(wide, scale, bias, graph.real, member, self.epsilon, axis, self.relu)
        return y.astype(self.dtype or y.dtype)


class TransformerConv(nn.Module):
    """Single-head attention of every vertex to its one-ring, plus a linear map of the vertex itself.

    After TransformerConv of PyG 1.6.3 (without its unused edge weight). `source` gives keys and values, `target`
    queries and the skip connection; a vertex without edges has the skip connection only.

    Attributes:
        shift: what the softmax subtracts, see `kernels.device.attention.api.one_ring_attention`.
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
