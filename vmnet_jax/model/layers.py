"""Layers of all networks: linear maps, sparse convolutions, masked normalisations, attention along the mesh.

Real rows come first and padding rows are zero, before and after every layer (see docs/layout.md).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype

from kernels.device.attention.api import one_ring_attention
from kernels.device.sparse_conv.api import strided_conv, submanifold_conv, transposed_conv
from vmnet_jax.model.init import symmetric_uniform
from vmnet_jax.model.norms import EPSILON, graph_layer_norm, masked_batch_norm
from vmnet_jax.model.scene_batch import MeshGraph

MOMENTUM = 0.1  # weight of a batch's statistics in the running ones (torch's convention)


class Layer(nn.Module, kw_only=True):
    """What the modules of all networks have in common. Statistics are at least float32, whatever the `dtype`."""

    axis_name: str | None = None  # mapped axis of the devices that share one batch's statistics, to be applied inside
    dtype: Dtype | None = None  # of the computation; None takes the common type of inputs and parameters
    param_dtype: Dtype = jnp.float32  # of parameters and running statistics

    @property
    def common(self) -> dict[str, Any]:
        """These attributes by name, for the modules inside."""
        return {"axis_name": self.axis_name, "dtype": self.dtype, "param_dtype": self.param_dtype}

    def with_weights(self, shape: tuple[int, ...], *inputs: jax.Array, fan: int, use_bias: bool = False) -> list:
        """The inputs [...], a kernel of `shape` and a bias [shape[-1]] or None, in the type of the computation.

        Initial weights are within fan ** -0.5 as torch's and torchsparse's.
        """
        init = symmetric_uniform(fan**-0.5)
        kernel = self.param("kernel", init, shape, self.param_dtype)
        bias = self.param("bias", init, shape[-1:], self.param_dtype) if use_bias else None
        return promote_dtype(*inputs, kernel, bias, dtype=self.dtype)


class Linear(Layer):
    """`x @ kernel + bias` for x [N, C_in], kernel [C_in, features]. With a bias, padding rows become the bias."""

    features: int
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        x, kernel, bias = self.with_weights((width, self.features), x, fan=width, use_bias=self.use_bias)
        y = x @ kernel
        return y if bias is None else y + bias


class SubmanifoldConv(Layer):
    """3x3x3 convolution of the existing voxels, without bias: [P, C_in] -> [P, features]."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, neighbours: jax.Array) -> jax.Array:
        width = x.shape[-1]
        x, kernel, _ = self.with_weights((27, width, self.features), x, fan=27 * width)
        return submanifold_conv(x, kernel, neighbours)


class StridedConv(Layer):
    """2x2x2 convolution of stride 2, without bias: [P_fine, C_in] -> [P_coarse, features]."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, children: jax.Array, slots: jax.Array) -> jax.Array:
        width = x.shape[-1]
        x, kernel, _ = self.with_weights((8, width, self.features), x, fan=8 * width)
        return strided_conv(x, kernel, children, slots)


class TransposedConv(Layer):
    """Transpose of the 2x2x2 convolution of stride 2, without bias: [P_coarse, C_in] -> [P_fine, features]."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array, children: jax.Array, slots: jax.Array) -> jax.Array:
        x, kernel, _ = self.with_weights((8, x.shape[-1], self.features), x, fan=self.features)
        return transposed_conv(x, kernel, children, slots)


class MaskedBatchNorm(Layer):
    """Batch normalisation over the real rows; as torch's, the running variance is the unbiased one.

    A batch without any row leaves the running statistics as they are, one of a single row the running variance: it has
    no unbiased variance (torch refuses such a batch). With `relu`, negative results become zero.
    """

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
            y, moments = masked_batch_norm(wide, scale, bias, real, (axis, self.relu))
            mean, var, rows = jax.lax.stop_gradient(moments)
            if not self.is_initializing():
                unbiased = var * rows / jnp.maximum(rows - 1, 1)
                running_mean.value += jnp.where(rows > 0, MOMENTUM * (mean - running_mean.value), 0)
                running_var.value += jnp.where(rows > 1, MOMENTUM * (unbiased - running_var.value), 0)
        else:
            gain = jax.lax.rsqrt(running_var.value + EPSILON) * scale
            y = (wide - running_mean.value) * gain + bias
            y = jnp.where(real, nn.relu(y) if self.relu else y, 0)
        return y.astype(self.dtype or y.dtype)


class GraphLayerNorm(Layer):
    """`(x - mean) / (std + eps) * scale + bias` over all vertices and channels of a graph; scale and bias are scalars.

    After LayerNorm of PyG 1.6.3, see `vmnet_jax.model.norms.graph_layer_norm`. In the scope "scene" each scene has its
    own mean and deviation. In "batch" all scenes share one, over the devices of `axis_name`, as in the original
    program, where a scene's output depends on the scenes that it is batched with. With `relu`, negative results become
    zero.
    """

    layer_norm_scope: str = "scene"
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
        y = graph_layer_norm(wide, scale, bias, (graph.real, member.astype(wide.dtype)), (axis, self.relu))
        return y.astype(self.dtype or y.dtype)


class OneRingAttention(Layer):
    """Attention of every vertex to its one-ring, plus a linear map of the vertex itself.

    `source` gives keys and values, `target` queries and the skip connection; a vertex without edges has the skip
    connection only. Subclasses have `attend(query, key, value, graph)`.
    """

    features: int

    def linear(self, name: str, x: jax.Array) -> jax.Array:
        """x [N, C] -> [N, features], with a bias."""
        return Linear(self.features, **self.common, name=name)(x)

    @nn.compact
    def __call__(self, source: jax.Array, target: jax.Array, graph: MeshGraph) -> jax.Array:
        """source [V, C_s], target [V, C_t] -> [V, features], padding rows zero."""
        query, key, value = self.linear("query", target), self.linear("key", source), self.linear("value", source)
        attended = self.attend(query, key, value, graph)
        return jnp.where(graph.real, attended + self.linear("skip", target), 0)


class TransformerConv(OneRingAttention):
    """Single-head attention after TransformerConv of PyG 1.6.3 (without its unused edge weight)."""

    shift: str = "vertex"  # what the softmax subtracts, see `kernels.device.attention.api.one_ring_attention`

    def attend(self, query: jax.Array, key: jax.Array, value: jax.Array, graph: MeshGraph) -> jax.Array:
        """All [V, features]."""
        return one_ring_attention(query, key, value, graph.rings, graph.keep, shift=self.shift)
